# SPDX-License-Identifier: BSD-3-Clause
"""Which machine an ELF file is for, and which shared libraries it needs: what ldd says, but without
running anything, so that it works for other architectures as well."""

import os
import struct
from pathlib import Path

from .cache import LabError

MACHINES = {62: "x86", 183: "arm64"}
TRIPLETS = {"x86": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29


class Elf:
    """The parts of a little-endian 64-bit ELF file that loading depends on. `arch` is None for
    files that are not such."""

    def __init__(self, path):
        self.path = Path(path)
        self.arch = self.interpreter = None
        self.needed, self.runpath = [], []
        with open(path, "rb") as file:
            header = file.read(64)
            if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
                return
            self.arch = MACHINES.get(struct.unpack_from("<H", header, 18)[0], "unknown")
            (start,) = struct.unpack_from("<Q", header, 32)
            size, count = struct.unpack_from("<HH", header, 54)
            file.seek(start)
            table = file.read(size * count)
            loads, dynamic = [], b""
            for index in range(count):
                kind, _, offset, address, _, length = struct.unpack_from(
                    "<IIQQQQ", table, index * size)
                if kind == PT_LOAD:
                    loads.append((address, offset, length))
                elif kind in (PT_INTERP, PT_DYNAMIC):
                    file.seek(offset)
                    content = file.read(length)
                    if kind == PT_INTERP:
                        self.interpreter = content.rstrip(b"\0").decode()
                    else:
                        dynamic = content
            self._read_dynamic(file, dynamic, loads)

    def _read_dynamic(self, file, dynamic, loads):
        entries = list(struct.iter_unpack("<qQ", dynamic[:len(dynamic) // 16 * 16]))
        strings = next((value for tag, value in entries if tag == DT_STRTAB), None)
        if strings is None:
            return
        base = next(offset + strings - address for address, offset, length in loads
                    if address <= strings < address + length)

        def text(at):
            file.seek(base + at)
            return file.read(4096).split(b"\0")[0].decode()

        for tag, value in entries:
            if tag == DT_NEEDED:
                self.needed.append(text(value))
            elif tag in (DT_RPATH, DT_RUNPATH):
                origin = str(self.path.resolve().parent)
                self.runpath += [Path(part.replace("$ORIGIN", origin).replace("${ORIGIN}", origin))
                                 for part in text(value).split(":") if part]


def library_folders(arch, sysroot):
    """Where a program's libraries are looked for: LD_LIBRARY_PATH, the usual places, and what the
    host's ld.so.conf adds."""
    triplet = TRIPLETS[arch]
    folders = [Path(part) for part in os.environ.get("LD_LIBRARY_PATH", "").split(":") if part]
    usual = [f"lib/{triplet}", f"usr/lib/{triplet}", "lib", "usr/lib", "lib64",
             f"usr/local/lib/{triplet}", "usr/local/lib", f"usr/lib/{triplet}/libhugetlbfs"]
    folders += [Path(sysroot or "/") / part for part in usual]
    if not sysroot:
        for file in sorted(Path("/etc/ld.so.conf.d").glob("*.conf")):
            folders += [Path(line.strip()) for line in file.read_text().splitlines()
                        if line.startswith("/")]
    return folders


def libraries(programs, arch, sysroot=None):
    """{soname: file} of all that these programs need, the interpreter left out."""
    folders = library_folders(arch, sysroot)
    found, queue = {}, [Elf(program) for program in programs]
    if any(elf.interpreter for elf in queue):
        queue.append(Elf(find("libgcc_s.so.1", [], folders, arch, "pthread_cancel")))
        found["libgcc_s.so.1"] = queue[-1].path
    while queue:
        elf = queue.pop()
        for name in elf.needed:
            if name in found or name.startswith("ld-linux"):
                continue
            found[name] = find(name, elf.runpath, folders, arch, elf.path)
            queue.append(Elf(found[name]))
    return found


def find(name, first, folders, arch, wanted_by):
    for folder in [*first, *folders]:
        file = folder / name
        if file.is_file() and Elf(file).arch == arch:
            return file
    raise LabError(f"library {name} ({arch}), needed by {wanted_by}, was not found")
