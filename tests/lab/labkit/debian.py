# SPDX-License-Identifier: BSD-3-Clause
"""Debian packages: those installed on the host, and those of other suites or architectures, which
are only unpacked into the cache. apt checks signatures and hashes of all it downloads; a suite
gets its own lists, so that the host's apt never learns of it."""

import os
import shutil
import subprocess

from .cache import LabError, cache_dir, locked, run, say

# Everything that the lab needs from the host, in one place.
HOST_PACKAGES = (
    # the emulator of the x86 machines
    "qemu-system-x86",
    # kernels, modules and test programs
    "gcc", "make", "libc6-dev", "liburcu-dev", "flex", "bison", "bc", "libelf-dev", "libssl-dev", "perl",
    "python3", "rsync", "xz-utils", "kmod",
    "gcc-aarch64-linux-gnu", "libcmocka-dev",
    # the guests' userland
    "busybox-static",
    # dpdk/suite
    "libdpdk-dev", "dpdk-dev", "dpkg-dev", "pkgconf", "libpcap-dev",
    # fio/suite
    "fio",
)

# name: (suites, architecture). The key file is the one that the host's debian-archive-keyring has.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = {
    "bookworm": (("bookworm", "bookworm-security"), "amd64"),
    "bookworm-backports": (("bookworm", "bookworm-security", "bookworm-backports"), "amd64"),
    "trixie-backports": (("trixie-backports",), "amd64"),
    "trixie": (("trixie", "trixie-security", "trixie-backports"), "amd64"),
    "bookworm-arm64": (("bookworm", "bookworm-security"), "arm64"),
}


def install_host_packages():
    """Installs those of HOST_PACKAGES that are missing."""
    missing = missing_packages()
    if not missing:
        return
    with locked("host-packages"):
        missing = missing_packages()
        if not missing:
            return
        if os.geteuid() != 0:
            raise LabError("these packages are needed, and only root can install them: "
                           + " ".join(missing))
        say("installing packages: " + " ".join(missing))
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        wait = ["-o", "DPkg::Lock::Timeout=600"]
        run(["apt-get", "-q", *wait, "update"], env=environment)
        run(["apt-get", "-q", "-y", *wait, "install", "--no-install-recommends", *missing],
            env=environment)


def missing_packages():
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *HOST_PACKAGES],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    installed = {line.split()[0] for line in query.stdout.splitlines()
                 if line.endswith(" installed")}
    return [package for package in HOST_PACKAGES if package not in installed]


def mirrors(again=True):
    """Where the host gets Debian and its security updates from: {"": uri, "-security": uri}."""
    targets = run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)"])
    found = {}
    for line in targets.splitlines():
        origin, codename, uri = line.split("|")
        if origin == "Debian":
            found.setdefault("-security" if codename.endswith("-security") else "", uri)
    if "" not in found and again:
        run(["apt-get", "-q", "update"])
        return mirrors(again=False)
    if "" not in found:
        raise LabError("the host's apt knows no source of Debian packages")
    return found


class Suite:
    """apt over its own sources, lists and architecture. `host` says whether packages that the
    host has count as installed when dependencies are resolved; with `source` it is one of source
    packages."""

    def __init__(self, name, host=False, source=False):
        self.kind = "deb-src" if source else "deb"
        self.suites, self.architecture = SUITES[name]
        name += "-source" if source else ""
        self.name = name
        self.folder = cache_dir() / "apt" / name
        self.host = host

    def __enter__(self):
        self.lock = locked(f"apt-{self.name}")
        self.lock.__enter__()
        for part in ("lists/partial", "archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        sources = ""
        uris = mirrors()
        for suite in self.suites:
            uri = uris.get("-security" if suite.endswith("-security") else "")
            if uri:
                sources += (f"{self.kind} [arch={self.architecture} signed-by={KEYRING}] "
                            f"{uri} {suite} main\n")
        (self.folder / "sources.list").write_text(sources)
        (self.folder / "status").touch()
        self._apt("apt-get", "update")
        return self

    def __exit__(self, *error):
        self.lock.__exit__(*error)

    def _apt(self, tool, *arguments, **options):
        settings = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/nonexistent",
            "Dir::State::lists": self.folder / "lists",
            "Dir::Cache::archives": self.folder / "archives",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
            "APT::Architecture": self.architecture,
            "APT::Keep-Downloaded-Packages": "true",
            "APT::Get::List-Cleanup": "true",
            "DPkg::Post-Invoke::": "",
            "Debug::NoLocking": "true",
        }
        if not self.host:
            settings["Dir::State::status"] = self.folder / "status"
            settings["APT::Architectures"] = self.architecture
        flags = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return run([tool, "-q", *flags, *arguments], **options)

    def packages(self, prefix):
        """{name: version} of the packages whose names begin with prefix."""
        names = self._apt("apt-cache", "pkgnames", prefix).split()
        return {name: version for name in names if (version := self.version(name))}

    def version(self, package):
        for line in self._apt("apt-cache", "policy", package).splitlines():
            if line.startswith("  Candidate:") and "(none)" not in line:
                return line.split()[1]
        return None

    def depends(self, package):
        """The direct dependencies of a package."""
        lines = self._apt("apt-cache", "depends", "--no-recommends", "--no-suggests", package)
        return [line.split()[1] for line in lines.splitlines() if line.startswith("  Depends:")]

    def unpack(self, packages, target, dependencies=False, release=None):
        """Downloads packages, with what they depend on if asked, and unpacks them."""
        into = self.folder / "download"
        shutil.rmtree(into, ignore_errors=True)
        (into / "partial").mkdir(parents=True)
        if dependencies:
            choice = ["-t", release] if release else []
            self._apt("apt-get", "-y", "-o", f"Dir::Cache::archives={into}", *choice,
                      "install", "--reinstall", "--download-only",
                      "--no-install-recommends", *packages)
        else:
            self._apt("apt-get", "download", *packages, cwd=into)
        files = sorted(into.glob("*.deb"))
        if not files:
            raise LabError(f"apt downloaded nothing for {' '.join(packages)} from {self.name}")
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            run(["dpkg-deb", "-x", file, target])
        manifest = "".join(f"{file.name}\n" for file in files)
        (target / "packages.txt").write_text(manifest)
        shutil.rmtree(into)

    def unpack_source(self, package, version, target):
        """Downloads a source package, and unpacks it, patched, into the folder `target`."""
        into = self.folder / "download"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        self._apt("apt-get", "source", "--download-only", f"{package}={version}", cwd=into)
        [control] = into.glob("*.dsc")
        run(["dpkg-source", "--no-check", "--extract", control, target])
        shutil.rmtree(into)
