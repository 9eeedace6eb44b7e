# SPDX-License-Identifier: BSD-3-Clause
"""Runs Debian's dpdk-testpmd, unmodified, between two NICs of a machine: builds our plug-in for it,
connects the NICs to a program of the host that checks all that comes back, and reads what both say."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# pylint: disable=wrong-import-position
from labkit import elf, module, programs, runner    # noqa: E402
from labkit.cache import REPOSITORY, Artifact, run           # noqa: E402
from labkit.debian import Suite                              # noqa: E402

RECIPE = 1
SOURCES = ("pmd-glue/dpdk/*.c", "pmd-glue/dpdk/lib/region.c", "engine/**/*.c")
HEADERS = ("pmd-glue/dpdk/*.h", "pmd-glue/dpdk/lib/region.h", "engine/**/*.h", "include/ioas/*.h", "include/uapi/linux/*.h")
LIBRARIES = ["-lrte_eal", "-lrte_ethdev", "-lrte_mempool", "-lrte_mbuf", "-lrte_ring",
             "-lrte_stack", "-lrte_bus_pci", "-lrte_bus_vdev", "-lpcap", "-lurcu-bp",
             "-lurcu-common"]
# What EAL loads with -d; testpmd is linked with the rest.
PLUGINS = ("net_e1000", "net_virtio", "mempool_ring")
ARM64_PACKAGES = ["dpdk-dev", "libdpdk-dev", "libpcap-dev", "liburcu-dev", "libc6-dev"]
TOKEN = "rogue-device-was-here"
HUGEPAGES = ["2M=112"]


def words(*command):
    return run(command, cwd=REPOSITORY).split()


def debian_arm64():
    """Debian's DPDK for arm64, with all that it needs. The host has its own."""
    def make(path):
        with Suite("bookworm-arm64") as suite:
            suite.unpack(ARM64_PACKAGES, path / "root", dependencies=True)
    return Artifact("dpdk-arm64", [ARM64_PACKAGES], make)


def root(arch):
    """Where Debian's DPDK is."""
    return debian_arm64().path / "root" if arch == "arm64" else Path("/")


def library_folder(arch):
    return root(arch) / "usr/lib" / elf.TRIPLETS[arch]


def plugin(arch):
    """The artifact with librte_ioas.so."""
    if arch == "arm64":
        below = root(arch) / "usr/include"
        flags = ["-include", "rte_config.h", f"-I{below}/dpdk",
                 f"-I{below}/{elf.TRIPLETS[arch]}/dpdk", "-march=armv8-a+crc",
                 f"--sysroot={root(arch)}"]
        needs = [debian_arm64()]
    else:
        flags, needs = words("pkg-config", "--cflags", "libdpdk"), []
    flags += words(REPOSITORY / "scripts/dpdk-headers")
    flags = ["-isystem" + flag[2:] if flag.startswith("-I") else flag for flag in flags]
    files = programs.sources(*SOURCES)

    def make(path):
        run([programs.COMPILERS[arch], *programs.FLAGS, "-shared", "-fPIC", "-fvisibility=hidden",
             "-I", "include", *flags, *files, "-o", path / "librte_ioas.so", *LIBRARIES],
            cwd=REPOSITORY)
    return Artifact(f"dpdk-plugin-{arch}",
                    [RECIPE, flags, files, programs.sources(*HEADERS)], make, needs)


def tool(name, arch="x86"):
    """A small program: traffic is the host's side of the wires, rogue runs in the guest."""
    source = programs.sources(f"tests/lab/dpdk/{name}.c")

    needs = [debian_arm64()] if arch == "arm64" else []
    flags = [f"--sysroot={root(arch)}"] if needs else []

    def make(path):
        run([programs.COMPILERS[arch], *programs.FLAGS, *flags, *source, "-o", path / name],
            cwd=REPOSITORY)
    return Artifact(f"dpdk-{name}-{arch}", [programs.FLAGS, source], make, needs)


class Run:
    """One run of testpmd: two NICs, a kernel driver, the settings of our library."""

    def __init__(self, name, nics, driver, settings, packets, rogue=True):
        self.name, self.nics, self.packets = name, nics, packets
        self.command = (f"exec forward {name} {driver} $LAB_NIC{nics[0]} $LAB_NIC{nics[1]} "
                        f"{settings} {2 * packets} {int(rogue)}")
        self.test = self.traffic = None
        self.values, self.text = {}, ""


class Wires:
    """The sockets of all NICs, and the program that sends and checks."""

    def __init__(self, folder, count):
        self.folder = Path(folder)
        self.program = tool("traffic").prepare() / "traffic"
        self.count = count

    def netdevs(self):
        return [f"dgram,local.type=unix,local.path={self.folder}/qemu{index},"
                f"remote.type=unix,remote.path={self.folder}/host{index}"
                for index in range(self.count)]

    def ends(self, *nics):
        return [f"{self.folder}/{side}{nic}" for nic in nics for side in ("host", "qemu")]

    def check(self, load):
        done = subprocess.run(
            [self.program, "check", str(load.packets), "20260801", *self.ends(*load.nics)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        load.traffic = done.returncode
        load.values.update(pairs(done.stdout, "TRAFFIC"))

    def say_token(self, load):
        subprocess.run([self.program, "say", TOKEN, "64", *self.ends(load.nics[0])], check=False)


def pairs(text, word):
    """{NAME: VALUE} of the last line that begins with a word."""
    lines = re.findall(rf"^{word} (.*)$", text, re.MULTILINE)
    return dict(pair.partition("=")[::2] for pair in lines[-1].split()) if lines else {}


def prepare(machine):
    """Makes all that a boot needs. Return: the files that come along."""
    machine.prepare()
    tool("traffic").prepare()
    built = plugin(machine.arch).prepare()
    libraries = library_folder(machine.arch)
    return [f"{root(machine.arch)}/usr/bin/dpdk-testpmd:lab/bin/dpdk-testpmd",
            f"{HERE / 'forward.sh'}:lab/bin/forward",
            f"{tool('rogue', machine.arch).prepare()}/rogue:lab/bin/rogue",
            f"{built}/librte_ioas.so:lab/dpdk/librte_ioas.so",
            *(f"{libraries}/librte_{name}.so.23:lab/dpdk/librte_{name}.so.23" for name in PLUGINS)]


def kioas(machine):
    """The module, for those machines on whose kernel it runs."""
    return [module.artifact(machine).prepare() / "kioas.ko"] if machine.arch == "x86" else []


def boot(machine, nics, loads, show, timeout, env=()):
    """Runs all loads in one boot. Return: the runner's outcome."""
    files = prepare(machine)
    libraries = library_folder(machine.arch)
    # Where the lab looks for the libraries of programs, before its own sysroot.
    os.environ["LD_LIBRARY_PATH"] = ":".join(
        str(folder) for folder in (libraries, root(machine.arch) / "lib" / libraries.name))
    by_name = {load.name: load for load in loads}
    with tempfile.TemporaryDirectory() as folder:
        wires = Wires(folder, len(nics))
        options = runner.default_options(
            module=kioas(machine), nic=list(nics), netdev=wires.netdevs(), hugepages=HUGEPAGES, nvme=0,
            edu=False, timeout=timeout, append="iomem=relaxed", env=list(env),
            add=files)
        for load in loads:
            load.test = runner.Test(load.name, ["sh", "-c", load.command], limit=timeout)
        helpers, pending, current = [], "", None

        def take(piece):
            nonlocal pending, current
            show(piece)
            *lines, pending = (pending + piece).split("\n")
            for line in lines:
                word, _, name = line.strip().partition(" ")
                if word in ("WIRE", "ROGUE") and name in by_name:
                    current = by_name[name]
                    target = wires.check if word == "WIRE" else wires.say_token
                    helpers.append(threading.Thread(target=target, args=(current,)))
                    helpers[-1].start()
                elif word == "PMD" and current:
                    helpers[0].join()
                    current.values.update(pairs(line, "PMD"))
                elif word == "LAB-RESULT":
                    for helper in helpers:
                        helper.join()
                    helpers.clear()

        outcome = runner.boot(machine, options, [load.test for load in loads], take)
        for helper in helpers:
            helper.join()
    return outcome
