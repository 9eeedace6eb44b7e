# SPDX-License-Identifier: BSD-3-Clause
"""The guest's root file system: busybox, modules, the programs under test with their libraries, and
what guest/init reads: /lab/config and /lab/plan. It is put together anew for each boot."""

import shlex
from pathlib import Path

from . import elf
from .cache import LAB_DIR, LabError
from .cpio import Cpio

LOADERS = {"x86": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
MODULES = ("vfio_iommu_type1", "vfio-pci")


def write(file, machine, contents, table=None):
    """Writes the initramfs. `contents` is a Contents; `table` a file with an ACPI table."""
    if table:
        # Read by the kernel before it can decompress anything: first, and in an archive of its own.
        early = Cpio(file)
        early.data("kernel/firmware/acpi/IORT.aml", table.read_bytes())
        early.close()
    archive = Cpio(file)
    for folder in ("proc", "sys", "dev", "tmp", "run", "var", "etc", "root", "bin", "lab/bin"):
        archive.folder(folder)
    archive.link("var/run", "/run")
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.data("etc/passwd", "root:x:0:0:root:/lab:/bin/sh\n")
    archive.data("etc/group", "root:x:0:\n")
    archive.copy("bin/busybox", machine.busybox())
    archive.link("bin/sh", "busybox")
    archive.link("sbin", "bin")
    archive.copy("init", LAB_DIR / "guest" / "init")
    archive.copy("bin/lab-bind", LAB_DIR / "guest" / "lab-bind")
    archive.copy("lib/modules", machine.kernel.path / "modules" / "lib" / "modules")
    archive.data("lab/config", contents.config())
    archive.data("lab/plan", contents.plan())
    for name, source in contents.files.items():
        archive.copy(name, source)
    triplet = elf.TRIPLETS[machine.arch]
    sysroot = machine.sysroot()
    needed = elf.libraries(contents.elf_files, machine.arch, sysroot)
    for soname, source in needed.items():
        archive.copy(f"lib/{triplet}/{soname}", source)
    if any(elf.Elf(file).interpreter for file in contents.elf_files):
        loader = LOADERS[machine.arch]
        archive.copy(loader, Path(str(sysroot or "") + loader))
    archive.close()


class Contents:
    """What a run adds to the base system."""

    def __init__(self, machine):
        self.machine = machine
        self.settings = {}         # for guest/init
        self.environment = {}      # for the programs
        self.files = {}            # guest's name: host's file or folder
        self.elf_files = []        # those among them whose libraries must come along
        self.plan_lines = []

    def add(self, name, source):
        source = Path(source)
        if not source.exists():
            raise LabError(f"{source}: no such file")
        if self.files.setdefault(name, source) != source:
            raise LabError(f"{source} and {self.files[name]} would both become {name}")
        for file in (source.rglob("*") if source.is_dir() else [source]):
            if not file.is_file():
                continue
            arch = elf.Elf(file).arch
            if arch == self.machine.arch and file.suffix != ".ko":
                self.elf_files.append(file)
            elif arch and arch != self.machine.arch:
                raise LabError(f"{file} is for {arch}, {self.machine.name} is {self.machine.arch}")

    def add_program(self, word):
        """The guest's command for a program: a path is a file of the host, which comes along; a
        bare word is a command of the guest, such as a busybox applet."""
        if "/" not in word:
            return word
        source = Path(word).resolve()
        stem, number = source.name, 1
        name = stem
        while self.files.get(f"lab/bin/{name}", source) != source:
            number += 1
            name = f"{stem}-{number}"
        if f"lab/bin/{name}" not in self.files:
            self.add(f"lab/bin/{name}", source)
        return f"/lab/bin/{name}"

    def add_test(self, test):
        command = [self.add_program(test.command[0]), *test.command[1:]]
        self.plan_lines.append(shlex.join(["run", test.name, str(test.limit), *command]))

    def config(self):
        lines = [f"{key}={shlex.quote(str(value))}\n" for key, value in self.settings.items()]
        lines += [f"export {key}={shlex.quote(value)}\n"
                  for key, value in self.environment.items()]
        return "".join(lines)

    def plan(self):
        return "".join(line + "\n" for line in self.plan_lines)
