# SPDX-License-Identifier: BSD-3-Clause
"""Runs examples/nvme in the lab: builds it with the library for a machine, boots the machine with
the controller bound to vfio-pci, and reads what the program says of itself."""

import os
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# pylint: disable=wrong-import-position
from labkit import module, programs, runner, sysroot  # noqa: E402
from labkit.cache import REPOSITORY, Artifact, run    # noqa: E402

SOURCES = ("examples/nvme/*.c", "engine/**/*.c")
HEADERS = ("examples/nvme/*.h", "engine/**/*.h", "include/ioas/*.h", "include/uapi/linux/*.h")
# machine: backends, of which the first one gets the full load in the suite
BACKENDS = {
    "x86-type1": ("type1", "ioasid"),
    "x86-iommufd": ("iommufd", "type1", "ioasid"),
    "x86-scalable": ("iommufd", "type1"),
    "arm-smmuv3": ("iommufd", "type1"),
}
# The driver that the controller has to be bound to, by backend.
DRIVERS = {"type1": "vfio-pci", "iommufd": "vfio-pci", "ioasid": "kioas"}
# machine: the backend that lets user space make page tables: nested, or shadowed by kioas.
WITH_USER_TABLES = {"arm-smmuv3": "iommufd", "x86-type1": "ioasid", "x86-iommufd": "ioasid"}
# The image, and the memory from which buffers are taken; huge pages for that memory.
IMAGE = 256 << 20
HUGEPAGES = ["2M=160"]


def program(arch):
    """The artifact with the program `nvme` for an architecture."""
    files = programs.sources(*SOURCES)
    return Artifact(f"nvme-{arch}", [programs.FLAGS, files, programs.sources(*HEADERS)],
                    lambda path: make(path, arch, files),
                    [sysroot.artifact()] if arch == "arm64" else [])


def make(path, arch, files):
    command = [programs.COMPILERS[arch], *programs.FLAGS]
    if arch == "arm64":
        command.append(f"--sysroot={sysroot.artifact().path / 'root'}")
    objects = path / "objects"
    objects.mkdir()

    def compile_one(source):
        made = objects / source.replace("/", "-").replace(".c", ".o")
        run([*command, "-D_GNU_SOURCE", "-I", "include", "-c", "-o", made, source],
            cwd=REPOSITORY)
        return made

    with ThreadPoolExecutor(int(os.environ.get("IOAS_LAB_JOBS") or os.cpu_count())) as pool:
        made = list(pool.map(compile_one, files))
    run([*command, "-o", path / "nvme", *made, "-lurcu-bp", "-lurcu-common"])


class Load:
    """One run of the program (or of another command line) on a backend, with what is expected of it."""

    def __init__(self, name, backend, arguments, judge=None, command=None, known=None):
        self.name = name
        self.known = known      # why it is known to fail, if it is
        command = command or ("exec nvme --device \"$LAB_NVME0\" --backend " + backend + " "
                              + shlex.join(arguments))
        self.command = f"lab-bind \"$LAB_NVME0\" {DRIVERS[backend]} && {command}"
        self.judge = judge or (lambda values: None)
        self.test = None
        self.text = ""

    @property
    def values(self):
        """The words NAME=VALUE of the program's last line."""
        lines = re.findall(r"^(?:RESULT|PROBE|KILL|REMOVE) (.*)$", self.text, re.MULTILINE)
        return dict(word.partition("=")[::2] for word in lines[-1].split()) if lines else {}

    @property
    def skipped(self):
        return self.test.status == runner.EXIT_SKIP and not self.test.trouble

    def trouble(self):
        """Why it is not as it should be, or None."""
        if self.test.status != 0:
            return f"exit status {self.test.verdict()}"
        if self.test.trouble:
            return f"kernel: {self.test.trouble[0].strip()}"
        return self.judge(self.values) if self.values else "no result"


def prepare(machine):
    """Makes all that boot() needs, unless it is there."""
    machine.prepare()
    program(machine.arch).prepare()
    if "ioasid" in BACKENDS[machine.name]:
        module.artifact(machine).prepare()


def boot(machine, loads, show, timeout):
    """Runs the loads in one boot. Return: the runner's outcome."""
    prepare(machine)
    binary = program(machine.arch).path / "nvme"
    own = [module.artifact(machine).path / "kioas.ko"] \
        if "ioasid" in BACKENDS[machine.name] else []
    options = runner.default_options(
        module=own, nvme_size=f"{IMAGE >> 20}M", hugepages=HUGEPAGES,
        timeout=timeout, edu=False,
        add=[f"{binary}:lab/bin/nvme",
             *(f"{HERE / name}.sh:lab/bin/nvme-{name}" for name in ("common", "kill", "remove"))])
    for load in loads:
        load.test = runner.Test(load.name, ["sh", "-c", load.command], limit=timeout)
    text = []

    def take(piece):
        text.append(piece)
        if show:
            show(piece)

    outcome = runner.boot(machine, options, [load.test for load in loads], take)
    rest = "".join(text)
    for load in loads:
        load.text, found, rest_after = rest.partition(f"LAB-RESULT {load.name} ")
        rest = rest_after if found else rest
    return outcome


# What is expected ---------------------------------------------------------------------------------

def bounds(least, most):
    """Judges ioctls per request; the driver counts them, so this is exact."""
    def judge(values):
        each = int(values["crossings"]) / int(values["requests"])
        if not least <= each <= most:
            return f"{each:.4f} ioctls per request, expected {least} to {most}"
        return None
    return judge


def ioctls(mode):
    """On kernel tables a request costs a map and an unmap; with ioasid, on all tables, its share of
    one call for all that begin, and of one for all that complete, together; on nested tables a
    share of one invalidation (how many requests do is chance). Nothing begins free of charge where
    the kernel shadows the table, in mode batched neither."""
    def judge(values):
        kind, backend = values["kind"], values["backend"]
        if mode == "strict" and kind == "KERNEL" and backend != "ioasid":
            return bounds(2, 2)(values)
        most = {"static": 0, "strict": 0.5, "batched": 0.05}[mode]
        if backend == "ioasid" and mode != "static":
            most = 1 if mode == "strict" else 0.5 if kind == "USER" else most
        return bounds(0, most)(values)
    return judge
