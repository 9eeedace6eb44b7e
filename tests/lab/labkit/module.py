# SPDX-License-Identifier: BSD-3-Clause
"""Builds the kernel module kioas against a machine's kernel."""

import shutil

from . import kernels
from .cache import REPOSITORY, Artifact, run

RECIPE = 1
# Debian's headers would have it made, by a program that the host need not have.
NO_BTF = "CONFIG_DEBUG_INFO_BTF_MODULES="
SOURCES = ("kernel/*.[ch]", "kernel/Kbuild", "include/uapi/linux/*.h")


def sources():
    """{path below the repository: text}"""
    return {str(file.relative_to(REPOSITORY)): file.read_text()
            for pattern in SOURCES for file in sorted(REPOSITORY.glob(pattern))}


def artifact(machine):
    """kioas.ko for a machine."""
    files = sources()
    kernel = machine.kernel
    return Artifact(f"module-{kernel.name}", [RECIPE, files],
                    lambda path: make(path, machine, files), [kernel])


def make(path, machine, files):
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    run(["make", "-C", machine.kernel.path / "kernel-dir", f"M={path / 'kernel'}",
         *kernels.ARCHITECTURES[machine.arch][0], "W=1", "KCFLAGS=-Werror", NO_BTF, "modules"])
    shutil.copy(path / "kernel" / "kioas.ko", path / "kioas.ko")
