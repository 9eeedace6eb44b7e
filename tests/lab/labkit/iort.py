# SPDX-License-Identifier: BSD-3-Clause
"""The Arm machine's IORT (Arm DEN0049, IO Remapping Table) with one bit added.

Linux lets user space own a stage-1 table only behind an SMMU whose root complex promises that its
memory accesses can be made coherent whatever the guest's table says: CANWBS, bit 2 of the node's
memory access flags (DEN0049, table 14). QEMU's table leaves it clear, though its emulated SMMU keeps
that promise. So the table is read from the machine itself, the bit is set, and the kernel gets the
result as an upgrade from the initramfs (kernel documentation, admin-guide/acpi/initrd_table_override).
"""

import re
import struct

from .cache import Artifact, LabError

RECIPE = 2
HEADER = struct.Struct("<4sIBB6s8sI4sI")   # signature, length, revision, checksum, OEM ids, ...
NODE = struct.Struct("<BHBIII")            # type, length, revision, identifier, mappings
ROOT_COMPLEX = 2
FLAGS_AT = 16 + 7                          # node header, then cache attribute, hints, reserved
CANWBS = 0x4


def artifact(machine, needs):
    return Artifact("iort-" + machine.name, [RECIPE, machine.qemu_options],
                    lambda path: make(path, machine), needs)


def make(path, machine):
    original = read_from(machine)
    (path / "IORT.original").write_bytes(original)
    (path / "IORT.aml").write_bytes(patched(original))


def read_from(machine):
    """Boots the machine and reads its table. QEMU maps only those buses to the SMMU that exist when the
    table is written, so the machine gets all the root ports that it can have."""
    from . import machines, runner          # these know the machine, and the machine its table

    text = []
    options = runner.default_options(edu=False, nvme=0, hugepages=[],
                                     nic=["e1000e"] * machines.NIC_MAX)
    command = ["sh", "-c", "od -An -v -tx1 /sys/firmware/acpi/tables/IORT"]
    outcome = runner.boot(machine, options, [runner.Test("iort", command)],
                          output=text.append, override_iort=False)
    if outcome.status:
        raise LabError(f"{machine.name}: its IORT could not be read: {outcome.summary()}")
    rows = [line for line in "".join(text).splitlines() if re.fullmatch(r"( [0-9a-f]{2})+", line)]
    return bytes.fromhex("".join(rows))


def patched(original):
    """The table with CANWBS on every root complex and a higher revision, checksum mended."""
    table = bytearray(original)
    if len(table) < HEADER.size or table[:4] != b"IORT" or sum(table) & 0xff:
        raise LabError("what was read is no IORT")
    nodes, at = struct.unpack_from("<II", table, HEADER.size)
    changed = 0
    for _ in range(nodes):
        kind, length, *_ = NODE.unpack_from(table, at)
        if kind == ROOT_COMPLEX:
            table[at + FLAGS_AT] |= CANWBS
            changed += 1
        at += length
    if not changed:
        raise LabError("the IORT has no root complex node")
    (revision,) = struct.unpack_from("<I", table, 24)
    struct.pack_into("<I", table, 24, revision + 1)
    table[9] = 0
    table[9] = -sum(table) & 0xff
    return bytes(table)
