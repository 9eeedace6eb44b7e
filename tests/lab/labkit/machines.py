# SPDX-License-Identifier: BSD-3-Clause
"""The machines: which QEMU, which kernel, which IOMMU, and where their devices sit."""

from dataclasses import dataclass, field
from pathlib import Path

from . import iort, kernels, sysroot
from .cache import Artifact, LabError
from .debian import Suite

QEMU_RECIPE = 1

# Slots on the root bus. NICs sit behind a root port each: igb has functions of its own there.
EDU_SLOT, NVME_SLOT, NIC_SLOT, GROUP_SLOT = 0x08, 0x09, 0x10, 0x18
NVME_MAX = NIC_SLOT - NVME_SLOT
NIC_MAX = 8
NIC_OPTIONS = {
    "igb": "",
    "e1000e": "",
    # Doorbells are answered by the processor's thread: a busy host makes the other thread slow.
    "virtio-net": ",iommu_platform=on,disable-legacy=on,ioeventfd=off",
}
NIC_DEVICES = {"igb": "igb", "e1000e": "e1000e", "virtio-net": "virtio-net-pci"}


@dataclass
class Machine:
    name: str
    summary: str
    arch: str
    kernel: Artifact
    append: str
    console: str                  # the guest's name of its first serial port: kernel messages
    results: str                  # and of the second one: programs' output
    qemu_options: list
    new_qemu: bool = False        # QEMU 10.0 in place of the host's 7.2
    needs: list = field(default_factory=list)
    iort: Artifact = None         # an ACPI table that replaces the machine's own

    def prepare(self):
        """Makes all that the machine needs, unless it is there."""
        needs = [self.kernel, *self.needs]
        if self.new_qemu:
            needs.append(qemu10())
        if self.iort:
            needs.append(self.iort)
        for artifact in needs:
            artifact.prepare()

    def sysroot(self):
        """Where the programs' libraries come from; None is the host itself."""
        return sysroot.artifact().path / "root" if self.arch == "arm64" else None

    def tcg_threads(self):
        """With a thread for each processor, QEMU 10's x86 machines have stopped on busy hosts: with
        an assertion in iotlb_to_section(), or with a serial port that stood still as if it had
        lost an interrupt. With one thread they have not. The cause was not traced in QEMU."""
        return "single" if self.arch == "x86" and self.new_qemu else "multi"

    def busybox(self):
        return self.sysroot() / "bin/busybox" if self.sysroot() else Path("/bin/busybox")

    def command(self):
        """QEMU with the machine's fixed options, and the environment it needs."""
        if not self.new_qemu:
            return ["qemu-system-x86_64", *self.qemu_options], {}
        if self.arch == "x86":
            command, environment = qemu10_command("qemu-system-x86_64")
            return [*command, *self.qemu_options], environment
        command, environment = qemu10_command("qemu-system-aarch64")
        firmware = qemu10().path / "root/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
        return [*command, "-bios", str(firmware), *self.qemu_options], environment


def devices(machine, options, images):
    """QEMU options for the devices, and {name: place} for the guest: the address on the root bus,
    for one behind a bridge followed by a slash and the device and function there."""
    arguments, places = [], {}
    if options.edu:
        arguments += ["-device", f"edu,dma_mask=0xffffffffffffffff,addr={EDU_SLOT:#x}"]
        places["edu"] = f"0000:00:{EDU_SLOT:02x}.0"
    if len(images) > NVME_MAX or len(options.nic) > NIC_MAX:
        raise LabError(f"at most {NVME_MAX} NVMe controllers and {NIC_MAX} NICs")
    for index, image in enumerate(images):
        slot = NVME_SLOT + index
        arguments += [
            "-drive", f"file={image},format=raw,if=none,id=disk{index},cache=unsafe",
            "-device", f"nvme,drive=disk{index},serial=lab{index},addr={slot:#x}"]
        places[f"nvme{index}"] = f"0000:00:{slot:02x}.0"
    if "igb" in options.nic and not machine.new_qemu:
        raise LabError("QEMU 7.2 has no igb; add --qemu10")
    for index, model in enumerate(options.nic):
        slot = NIC_SLOT + index
        arguments += [
            "-device", f"pcie-root-port,id=port{index},chassis={index + 1},addr={slot:#x}",
            "-netdev", f"{options.netdev[index] if options.netdev else 'hubport,hubid=0'},"
                       f"id=net{index}",
            "-device", f"{NIC_DEVICES[model]},bus=port{index},netdev=net{index},"
                       f"mac=52:54:00:00:00:{index + 1:02x},romfile={NIC_OPTIONS[model]}"]
        places[f"nic{index}"] = f"0000:00:{slot:02x}.0/00.0"
    if options.group:
        # Behind a bridge to conventional PCI devices cannot be told from each other.
        if machine.arch != "x86":
            raise LabError("--group is for the x86 machines: the Arm one's IORT ends before its bus")
        arguments += ["-device", f"pcie-pci-bridge,id=group,addr={GROUP_SLOT:#x}"]
        for index, model in enumerate(["edu,dma_mask=0xffffffffffffffff"] * 2
                                      + ["virtio-rng-pci"]):
            arguments += ["-device", f"{model},bus=group,addr={index + 1}"]
            places[f"group{index}"] = f"0000:00:{GROUP_SLOT:02x}.0/{index + 1:02x}.0"
    return arguments, places


def qemu10():
    """QEMU 10.0 of bookworm-backports and Arm firmware, unpacked with those libraries that the host
    does not have. 10.0 has nested SMMUv3, igb, and VT-d with first-stage tables."""
    def make(path):
        with Suite("bookworm-backports", host=True) as suite:
            suite.unpack(["qemu-system-arm", "qemu-system-x86", "qemu-system-data", "seabios",
                          "qemu-efi-aarch64"],
                         path / "root", dependencies=True, release="bookworm-backports")
    return Artifact("qemu-10", [QEMU_RECIPE], make)


def qemu10_riscv():
    """The same for RISC-V: its libraries are those of qemu10()."""
    def make(path):
        with Suite("bookworm-backports", host=True) as suite:
            suite.unpack(["qemu-system-riscv/bookworm-backports"], path / "root")
    return Artifact("qemu-10-riscv", [QEMU_RECIPE], make, [qemu10()])


def qemu10_command(binary):
    """How a program of QEMU 10.0 is started: its command, and the environment it needs."""
    root = qemu10().path / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    environment = {"LD_LIBRARY_PATH": f"{libraries}:{root / 'lib/x86_64-linux-gnu'}",
                   "QEMU_MODULE_DIR": str(libraries / "qemu")}
    if binary == "qemu-system-riscv64":
        return [str(qemu10_riscv().path / "root/usr/bin" / binary)], environment
    command = [str(root / "usr/bin" / binary)]
    if binary == "qemu-system-x86_64":
        command += ["-L", str(root / "usr/share/seabios")]
    return command, environment


def qemu11():
    """QEMU 11.1 of trixie-backports for x86, with all its libraries: the host's are too old."""
    def make(path):
        with Suite("trixie") as suite:
            suite.unpack(["qemu-system-x86"], path / "root", dependencies=True,
                         release="trixie-backports")
    return Artifact("qemu-11", [QEMU_RECIPE], make)


def qemu11_command(binary):
    root = qemu11().path / "root/usr"
    libraries = root / "lib/x86_64-linux-gnu"
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries),
            str(root / "bin" / binary), "-L", str(root / "share/seabios"),
            "-L", str(root / "share/qemu")], {"QEMU_MODULE_DIR": str(libraries / "qemu")}


# A kernel that looks whether timer interrupts arrive gives up, in a panic, where a busy host makes QEMU
# late with a few.
X86_APPEND = "no_timer_check intel_iommu=on"
VTD = ["-machine", "q35,kernel-irqchip=split", "-cpu", "max",
       "-device", "intel-iommu,intremap=on"]
SMMUV3 = ["-machine", "virt,gic-version=3,iommu=smmuv3", "-cpu", "max,pauth-impdef=on"]


def all_machines():
    machines = [
        Machine("x86-type1", "VT-d, VFIO type1; Debian's kernel 6.1, QEMU 7.2",
                "x86", kernels.stock(), X86_APPEND, "ttyS0", "ttyS1", VTD),
        Machine("x86-stock-6.12", "as x86-type1, but Debian 13's kernel 6.12",
                "x86", kernels.stock_612(), X86_APPEND, "ttyS0", "ttyS1", VTD),
        Machine("x86-iommufd", "VT-d, iommufd, VFIO cdev and type1, mock IOMMU; own kernel 7.3, "
                "QEMU 7.2",
                "x86", kernels.own("x86"), X86_APPEND, "ttyS0", "ttyS1", VTD),
        Machine("x86-debug", "as x86-iommufd; its kernel checks memory, locks, leaks and arithmetic",
                "x86", kernels.own("x86", "debug"), X86_APPEND, "ttyS0", "ttyS1", VTD),
        Machine("x86-scalable", "as x86-iommufd, but VT-d uses first-stage tables; QEMU 10.0",
                "x86", kernels.own("x86"), X86_APPEND + ",sm_on", "ttyS0", "ttyS1",
                [*VTD[:-1], VTD[-1] + ",x-scalable-mode=on,x-flts=on"], new_qemu=True),
        Machine("arm-smmuv3", "SMMUv3 with user-managed stage 1; own kernel 7.3, QEMU 10.0",
                "arm64", kernels.own("arm64"), "", "ttyAMA0", "ttyAMA1", SMMUV3,
                new_qemu=True, needs=[sysroot.artifact()]),
    ]
    machines[-1].iort = iort.artifact(machines[-1], [kernels.own("arm64"), qemu10(),
                                                     sysroot.artifact()])
    return {machine.name: machine for machine in machines}


def machine(name, qemu10=False):
    machines = all_machines()
    if name not in machines:
        raise LabError(f"there is no machine {name}; there are: " + ", ".join(machines))
    machines[name].new_qemu |= qemu10
    return machines[name]
