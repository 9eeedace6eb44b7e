# SPDX-License-Identifier: BSD-3-Clause
"""The guests' kernels. Each artifact holds

    image             what QEMU boots
    modules/          lib/modules/RELEASE of the modules that the lab can load, with depmod's lists
    kernel-dir        a link: where an out-of-tree module builds against this kernel (make -C)
"""

import os
import re
import shutil

from .cache import LAB_DIR, Artifact, LabError, run, run_shown, say
from .debian import Suite

# Counted up when a recipe below changes in a way that its inputs do not show.
STOCK_RECIPE = 1
SOURCE_RECIPE = 1
OWN_RECIPE = 1
HEADERS_RECIPE = 1

STOCK_MODULES = (
    "vfio-pci", "vfio_iommu_type1", "igb", "e1000e", "virtio_net", "virtio_pci", "virtio_console",
    "nvme", "uio_pci_generic", "kvm-amd",
)

SOURCE_PACKAGE = "linux-source-7.3"
ARCHITECTURES = {
    "x86": (["ARCH=x86_64"], "bzImage", "arch/x86/boot/bzImage"),
    "arm64": (["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"], "Image",
              "arch/arm64/boot/Image"),
}


def stock():
    return Artifact("kernel-stock-6.1", [STOCK_RECIPE, STOCK_MODULES],
                    lambda path: make_stock(path, "bookworm", "linux-image-amd64"))


def stock_612():
    """Debian 13's kernel as Debian 12 gets it: the same source, and headers that its compiler takes."""
    return Artifact("kernel-stock-6.12", [STOCK_RECIPE, STOCK_MODULES],
                    lambda path: make_stock(path, "bookworm-backports", "linux-image-6.12-amd64"))


def own(arch, variant=None):
    """`variant` names one more file of kernel/, which adds to what the others say."""
    parts = ["common", arch, variant] if variant else ["common", arch]
    config = [(LAB_DIR / "kernel" / f"{part}.config").read_text() for part in parts]
    return Artifact("-".join(["kernel", *parts[1:]]), [OWN_RECIPE, config],
                    lambda path: make_own(path, arch, "".join(config)), [source()], resume=True)


def source():
    return Artifact("linux-source", [SOURCE_RECIPE, SOURCE_PACKAGE], make_source)


def make_stock(path, suite, package):
    """Debian's kernel as it is, unpacked; and its headers, for modules of our own."""
    unpacked = path / "unpacked"
    with Suite(suite) as suite:
        [image] = [name for name in suite.depends(package)
                   if name.startswith("linux-image-")]
        release = image.removeprefix("linux-image-")
        headers = f"linux-headers-{release}"
        related = [name for name in suite.depends(headers)
                   if re.match(r"linux-(headers|kbuild)-", name)]
        suite.unpack([image, headers, *related], unpacked)
    shutil.copy(unpacked / "boot" / f"vmlinuz-{release}", path / "image")
    modules = unpacked / "lib" / "modules" / release
    run(["depmod", "-b", unpacked, release])
    keep_modules(modules, path / "modules" / "lib" / "modules" / release, STOCK_MODULES)
    run(["depmod", "-b", path / "modules", release])
    shutil.rmtree(modules / "kernel")
    # This Makefile names the common headers by the path of an installed system.
    tree = unpacked / "usr" / "src"
    makefile = tree / headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{tree}/"))
    (path / "kernel-dir").symlink_to(tree / headers)
    (path / "release").write_text(release + "\n")


def keep_modules(full, target, names):
    """Copies the named modules and those they depend on."""
    files = {}
    for line in (full / "modules.dep").read_text().splitlines():
        file, _, needs = line.partition(":")
        files[file.split("/")[-1].split(".ko")[0].replace("-", "_")] = [file, *needs.split()]
    for name in names:
        wanted = files.get(name.replace("-", "_"))
        if not wanted:
            say(f"note: the kernel has no module {name}")
            continue
        for file in wanted:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(full / file, target / file)
            if file.endswith(".xz"):
                run(["xz", "-df", target / file])
    for name in ("modules.builtin", "modules.order"):
        shutil.copy(full / name, target / name)


def make_source(path):
    """The source of the own kernels: SOURCE_PACKAGE, or the newest there is once Debian drops it."""
    with Suite("trixie-backports") as suite:
        found = {name: version for name, version in suite.packages("linux-source-").items()
                 if re.fullmatch(r"linux-source-[0-9.]+", name)}
        if not found:
            raise LabError("trixie-backports has no linux-source package")
        newest = max(found, key=lambda name: [int(n) for n in name.split("-")[2].split(".")])
        package = SOURCE_PACKAGE if SOURCE_PACKAGE in found else newest
        if package != SOURCE_PACKAGE:
            say(f"note: {SOURCE_PACKAGE} is gone, {package} takes its place")
        suite.unpack([package], path / "package")
    say(f"unpacking {package} {found[package]}")
    [archive] = (path / "package" / "usr" / "src").glob("*.tar.xz")
    (path / "linux").mkdir()
    run(["tar", "-xJf", archive, "-C", path / "linux", "--strip-components=1"])
    shutil.rmtree(path / "package")
    (path / "version").write_text(f"{package} {found[package]}\n")


def make_own(path, arch, fragment):
    tree, build, log = source().path / "linux", path / "build", path / "build.log"
    variables, goal, image = ARCHITECTURES[arch]
    build.mkdir(exist_ok=True)
    (path / "fragment").write_text(fragment)
    jobs = os.environ.get("IOAS_LAB_JOBS") or str(os.cpu_count())
    make = ["make", "-C", tree, f"O={build}", *variables, "KBUILD_BUILD_USER=lab",
            "KBUILD_BUILD_HOST=lab"]
    run([*make, f"KCONFIG_ALLCONFIG={path / 'fragment'}", "allnoconfig"], log=log)
    check_config(build / ".config", fragment)
    run_shown([*make, f"-j{jobs}", goal, "modules"], f"kernel-{arch} (some 8 minutes)", log)
    run([*make, f"INSTALL_MOD_PATH={path / 'modules'}", "modules_install"], log=log)
    for link in (path / "modules").glob("lib/modules/*/build"):
        link.unlink()
    shutil.copy(build / image, path / "image")
    shutil.copy(build / "include/config/kernel.release", path / "release")
    link = path / "kernel-dir"
    if not link.is_symlink():
        link.symlink_to(build)


def headers(arch):
    """The own kernels' user-space headers, in include/."""
    def make(path):
        variables = ARCHITECTURES[arch][0]
        run(["make", "-C", source().path / "linux", f"O={path / 'build'}", *variables,
             f"INSTALL_HDR_PATH={path}", "headers_install"])
        shutil.rmtree(path / "build")
    return Artifact(f"kernel-headers-{arch}", [HEADERS_RECIPE], make, [source()])


def check_config(config, fragment):
    """kconfig drops what it cannot satisfy without a word; this says so."""
    have = set(config.read_text().splitlines())
    lost = []
    for line in fragment.splitlines():
        name, _, value = line.partition("=")
        if not name.startswith("CONFIG_"):
            continue
        if value == "n" and not any(other.startswith(name + "=") for other in have):
            continue
        if line not in have:
            lost.append(line)
    if lost:
        raise LabError("kconfig did not take: " + " ".join(lost))
