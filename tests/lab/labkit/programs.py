# SPDX-License-Identifier: BSD-3-Clause
"""Builds the programs of prog/: every file there that has a main() is one, the others are linked into
each. They use the headers of the own kernels, as Debian 12's know no iommufd."""

from . import kernels, sysroot
from .cache import LAB_DIR, Artifact, run

FLAGS = ["-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]
COMPILERS = {"x86": "gcc", "arm64": "aarch64-linux-gnu-gcc"}


def artifact(arch):
    sources = {file.name: file.read_text() for file in sorted((LAB_DIR / "prog").glob("*.[ch]"))}
    needs = [kernels.headers(arch)]
    if arch == "arm64":
        needs.append(sysroot.artifact())
    return Artifact(f"programs-{arch}", [FLAGS, sources],
                    lambda path: make(path, arch, sources), needs)


def make(path, arch, sources):
    command = [COMPILERS[arch], *FLAGS, "-isystem", kernels.headers(arch).path / "include"]
    if arch == "arm64":
        command.append(f"--sysroot={sysroot.artifact().path / 'root'}")
    files = [name for name in sources if name.endswith(".c")]
    programs = [name for name in files if "int main(" in sources[name]]
    common = [name for name in files if name not in programs]
    for name in programs:
        run([*command, "-o", path / name.removesuffix(".c"), name, *common],
            cwd=LAB_DIR / "prog")
