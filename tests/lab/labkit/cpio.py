# SPDX-License-Identifier: BSD-3-Clause
"""Writes an initramfs: a cpio archive in the `newc` format (kernel documentation,
driver-api/early-userspace/buffer-format)."""

import os
import stat
from pathlib import PurePosixPath


class Cpio:
    def __init__(self, file):
        self.file = file
        self.inode = 0
        self.names = {}

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.file.write(header + bytes(-len(header) % 4))
        self.file.write(data)
        self.file.write(bytes(-len(data) % 4))

    def folder(self, name):
        name = name.strip("/")
        if not name or name in self.names:
            return
        self.folder(str(PurePosixPath(name).parent).lstrip("."))
        self.names[name] = "folder"
        self._entry(name, stat.S_IFDIR | 0o755)

    def _place(self, name, what):
        name = name.strip("/")
        self.folder(str(PurePosixPath(name).parent).lstrip("."))
        self.names[name] = what
        return name

    def data(self, name, content, mode=0o644):
        if isinstance(content, str):
            content = content.encode()
        self._entry(self._place(name, "data"), stat.S_IFREG | mode, content)

    def copy(self, name, source):
        """A file of the host, with its permissions; a folder with all that is in it."""
        source = os.fspath(source)
        if os.path.isdir(source):
            self.folder(name)
            for entry in sorted(os.listdir(source)):
                self.copy(f"{name}/{entry}", os.path.join(source, entry))
        elif os.path.islink(source) and not os.path.exists(source):
            self.link(name, os.readlink(source))
        else:
            with open(source, "rb") as file:
                mode = 0o755 if os.access(source, os.X_OK) else 0o644
                self.data(name, file.read(), mode)

    def link(self, name, target):
        self._entry(self._place(name, "link"), stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self._entry(self._place(name, "device"), stat.S_IFCHR | 0o600, b"", (major, minor))

    def close(self):
        self._entry("TRAILER!!!", 0)
        self.file.write(bytes(-self.file.tell() % 512))
