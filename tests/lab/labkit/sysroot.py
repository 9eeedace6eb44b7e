# SPDX-License-Identifier: BSD-3-Clause
"""What programs for the Arm machine are built against and run with: Debian's arm64 packages,
unpacked, and a cross file for meson."""

from .cache import Artifact, cache_dir
from .debian import Suite

RECIPE = 1
PACKAGES = (
    "libc6-dev", "libgcc-12-dev", "libstdc++-12-dev", "liburcu-dev", "libnuma-dev",
    "libhugetlbfs-dev", "libcmocka-dev", "busybox-static",
)


def artifact():
    return Artifact("sysroot-arm64", [RECIPE, PACKAGES], make)


def make(path):
    root = path / "root"
    with Suite("bookworm-arm64") as suite:
        suite.unpack(PACKAGES, root, dependencies=True)
    (path / "arm64.cross").write_text(cross_file(root))
    # Names that stay when the key changes, for people and build scripts.
    for name, target in (("sysroot-arm64", root), ("arm64.cross", path / "arm64.cross")):
        link, fresh = cache_dir() / name, cache_dir() / f"{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.rename(link)


def cross_file(root):
    libraries = f"{root}/usr/lib/aarch64-linux-gnu"
    flags = f"['--sysroot={root}']"
    return f"""\
# Written by tests/lab/prepare: meson setup build-arm64 --cross-file THIS
[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-gcc-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'

[built-in options]
c_args = {flags}
c_link_args = {flags}

[properties]
sys_root = '{root}'
pkg_config_libdir = ['{libraries}/pkgconfig', '{root}/usr/share/pkgconfig']
needs_exe_wrapper = true

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'armv8-a'
endian = 'little'
"""
