# SPDX-License-Identifier: BSD-3-Clause
"""Builds the lab's own programs. Every file of prog/ and backend/ that has a main() is one; the
others are linked into each of its folder, those of prog/ also into the programs of backend/. The
latter bring the backends along, in source, so that nothing needs to be built or installed before.
They use the headers of the own kernels, as Debian 12's know no iommufd."""

from . import kernels, sysroot
from .cache import LAB_DIR, REPOSITORY, Artifact, run

FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         "-pthread"]
COMPILERS = {"x86": "gcc", "arm64": "aarch64-linux-gnu-gcc"}

# What the backends are made of.
ENGINE = ("engine/diag.c", "engine/extent.c", "engine/backend/iommufd.c", "engine/backend/type1.c",
          "engine/backend/vfio*.c")
ENGINE_HEADERS = ("include/ioas/*.h", "engine/*.h", "engine/backend/*.h")


def sources(*patterns):
    """{path below the repository: text}"""
    return {str(file.relative_to(REPOSITORY)): file.read_text()
            for pattern in patterns for file in sorted(REPOSITORY.glob(pattern))}


def artifact(arch):
    folders = [sources(f"tests/lab/{name}/*.[ch]") for name in ("prog", "backend")]
    engine = sources(*ENGINE)
    needs = [kernels.headers(arch)]
    if arch == "arm64":
        needs.append(sysroot.artifact())
    return Artifact(f"programs-{arch}", [FLAGS, *folders, engine, sources(*ENGINE_HEADERS)],
                    lambda path: make(path, arch, *folders, engine), needs)


def has_main(text):
    return "int main(" in text


def make(path, arch, prog, backend, engine):
    command = [COMPILERS[arch], *FLAGS, "-isystem", kernels.headers(arch).path / "include",
               "-I", LAB_DIR / "../../include"]
    if arch == "arm64":
        command.append(f"--sysroot={sysroot.artifact().path / 'root'}")
    linked = []
    for folder, more in ((prog, ()), (backend, engine)):
        files = [name for name in folder if name.endswith(".c")]
        linked += [name for name in files if not has_main(folder[name])] + list(more)
        for name in files:
            if has_main(folder[name]):
                program = name.rpartition("/")[2].removesuffix(".c")
                run([*command, "-o", path / program, name, *linked], cwd=REPOSITORY)
