# SPDX-License-Identifier: BSD-3-Clause
"""Builds the lab's own programs. Every file of a folder below that has a main()
is one; the others are linked into those of their folder, and those of prog/ into all. What they test
comes along in source, so that nothing needs to be built or installed before:

    prog/      nothing of this project: they prove the machines
    backend/   the backends of real kernels
    engine/    the whole library
    user/      the same, where page tables may be our own
    kioas/     nothing but the module's header: they call /dev/ioasid
    mock/      the same, on the kernel's mock IOMMU; its calls are in a header of the kernel's source
    record/    the same, with a mock device in place of edu: page tables that record

They use the headers of the own kernels, as Debian 12's know no iommufd."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from . import kernels, sysroot
from .cache import REPOSITORY, Artifact, run

RECIPE = 1
FLAGS = ["-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
         "-Wno-unused-parameter", "-pthread"]
COMPILERS = {"x86": "gcc", "arm64": "aarch64-linux-gnu-gcc"}
HEADERS = ("include/ioas/*.h", "include/uapi/linux/*.h", "engine/**/*.h")

# folder: (what is linked, besides prog/, libraries)
FOLDERS = {
    "prog": ((), ()),
    "backend": (("engine/diag.c", "engine/extent.c", "engine/backend/iommufd*.c",
                 "engine/backend/amdvi.c", "engine/backend/smmuv3.c", "engine/backend/vtd.c",
                 "engine/backend/ioasid*.c", "engine/backend/type1.c", "engine/backend/vfio*.c"), ()),
    "engine": (("engine/**/*.c",), ("-lurcu-bp", "-lurcu-common")),
    "user": (("engine/**/*.c",), ("-lurcu-bp", "-lurcu-common")),
    "kioas": (("engine/pgtable/**/*.c",), ()),
    "mock": (("engine/**/*.c", "tests/backend/unreal.c"),
             ("-lurcu-bp", "-lurcu-common", "-Wl,--wrap=ioctl,--wrap=vfio_dev_init,"
              "--wrap=vfio_dev_close,--wrap=vfio_find_entry")),
    "record": (("engine/**/*.c",), ("-lurcu-bp", "-lurcu-common")),
}


# Their machines are x86 only, and so is the code of the virtual machine that they run in one of these.
X86_ONLY = ("kioas",)


def folders(arch):
    return [folder for folder in FOLDERS if arch == "x86" or folder not in X86_ONLY]


def sources(*patterns):
    """{path below the repository: text}"""
    return {str(file.relative_to(REPOSITORY)): file.read_text()
            for pattern in patterns for file in sorted(REPOSITORY.glob(pattern))}


def artifact(arch):
    needs = [kernels.headers(arch), kernels.source()]
    if arch == "arm64":
        needs.append(sysroot.artifact())
    own = {folder: sources(f"tests/lab/{folder}/*.c") for folder in folders(arch)}
    linked = {folder: sources(*FOLDERS[folder][0]) for folder in folders(arch)}
    headers = sources(*HEADERS, "tests/lab/*/*.h", "tests/backend/unreal.h")
    return Artifact(f"programs-{arch}", [RECIPE, FLAGS, FOLDERS, own, linked, headers],
                    lambda path: make(path, arch, own, linked), needs)


def has_main(text):
    return "int main(" in text


def make(path, arch, own, linked):
    command = [COMPILERS[arch], *FLAGS]
    include = ["-isystem", kernels.headers(arch).path / "include", "-I", REPOSITORY / "include",
               "-idirafter", kernels.source().path / "linux/drivers/iommu/iommufd"]
    if arch == "arm64":
        command.append(f"--sysroot={sysroot.artifact().path / 'root'}")
    objects = path / "objects"
    objects.mkdir()

    def compiled(source):
        return objects / source.replace("/", "-").replace(".c", ".o")

    def compile_one(source):
        run([*command, *include, "-c", "-o", compiled(source), source], cwd=REPOSITORY)

    jobs = int(os.environ.get("IOAS_LAB_JOBS") or os.cpu_count())
    with ThreadPoolExecutor(jobs) as pool:
        every = {source for group in (own, linked) for files in group.values() for source in files}
        list(pool.map(compile_one, sorted(every)))
    shared = [name for name, text in own["prog"].items() if not has_main(text)]
    for folder, files in own.items():
        parts = {*shared, *linked[folder], *(name for name in files if not has_main(files[name]))}
        for name in files:
            if has_main(files[name]):
                program = name.rpartition("/")[2].removesuffix(".c")
                run([*command, "-o", path / program, compiled(name), *map(compiled, sorted(parts)),
                     *FOLDERS[folder][1]])
    shutil.rmtree(objects)
