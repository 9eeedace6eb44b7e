# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified dpdk-testpmd with our drivers loaded, steered through its own command line.

Shared by the main job and by the tests of pmd-glue/dpdk.
"""
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

PROMPT = b"testpmd> "
HUGEPAGES = 256  # of 2 MiB: 64 MiB of buffers, rings, EAL's own; and some for a 4 KiB-slot pool


class Problem(Exception):
    """Something that the user can mend."""


# Set-up -------------------------------------------------------------------------------------------

def need_program(name, package):
    path = shutil.which(name)
    if path is None:
        raise Problem(f"{name} is missing: apt-get install {package}")
    return path


def reserve_hugepages():
    folder = "/sys/kernel/mm/hugepages/hugepages-2048kB"
    try:
        with open(folder + "/free_hugepages") as f:
            free = int(f.read())
        with open(folder + "/nr_hugepages") as f:
            total = int(f.read())
    except OSError as e:
        raise Problem(f"this kernel has no 2 MiB huge pages: {e}") from e
    if free >= HUGEPAGES:
        return
    fix = f"sysctl vm.nr_hugepages={total - free + HUGEPAGES}"
    try:
        with open(folder + "/nr_hugepages", "w") as f:
            f.write(str(total - free + HUGEPAGES))
    except OSError as e:
        raise Problem(f"{free} free huge pages, {HUGEPAGES} are needed: {fix} ({e})") from e
    with open(folder + "/free_hugepages") as f:
        free = int(f.read())
    if free < HUGEPAGES:
        raise Problem(f"only {free} of {HUGEPAGES} huge pages could be reserved "
                      f"(memory in use or fragmented): free some memory, then {fix}")


def find_driver(build):
    path = os.path.join(os.path.abspath(build), "pmd-glue", "dpdk", "librte_ioas.so")
    if not os.path.exists(path):
        raise Problem(f"{path} is missing: build it with meson (does its log say that pmd-glue/dpdk "
                      "was skipped?)")
    return path


def private_copy(driver, folder):
    """EAL loads no driver from below a folder that everybody may write to."""
    place = os.path.dirname(os.path.realpath(driver))
    while True:
        if os.stat(place).st_mode & 0o002:
            copy = os.path.join(folder, os.path.basename(driver))
            shutil.copy(driver, copy)
            return copy
        if place == "/":
            return driver
        place = os.path.dirname(place)


def private_folder():
    for base in ("/run", os.path.expanduser("~")):
        if os.access(base, os.W_OK) and not os.stat(base).st_mode & 0o002:
            return tempfile.mkdtemp(prefix="ioas-main-job-", dir=base)
    raise Problem("no folder for temporary files that only this user may write to (/run, ~)")


# testpmd ------------------------------------------------------------------------------------------

class Testpmd:
    """One unmodified dpdk-testpmd, steered through its own command line on a terminal."""

    def __init__(self, driver, vdevs, cpus, eal=(), app=(), env=None, wrapper=()):
        """@vdevs: devargs of each port, without its name. @wrapper: a program to run it under."""
        self.ports = len(vdevs)
        command = list(wrapper) + [need_program("dpdk-testpmd", "dpdk-dev"), "--lcores",
                                   f"0@{cpus[0]},1@{cpus[1]}", "--in-memory", "--no-pci",
                                   "--no-telemetry", "--iova-mode=va", "-d", driver]
        command += [f"--vdev=net_ioas{i},{args}" for i, args in enumerate(vdevs)]
        command += list(eal) + ["--", "-i", "--auto-start"] + list(app)
        self.command = command
        self.text = b""  # what has not been looked at yet
        self.log = b""  # everything
        environment = dict(os.environ)
        environment.pop("IOAS_DPDK", None)
        environment.update(env or {})
        self.terminal, far = pty.openpty()
        self.process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far,
                                        env=environment, close_fds=True, start_new_session=True)
        os.close(far)

    def until(self, what, seconds):
        """Read until @what comes. Return: the text before it."""
        deadline = time.monotonic() + seconds
        while what not in self.text:
            left = deadline - time.monotonic()
            ready = select.select([self.terminal], [], [], max(0, left))[0] if left > 0 else []
            try:
                piece = os.read(self.terminal, 65536) if ready else b""
            except OSError:  # the other end is closed
                piece = b""
            if not piece:
                raise Problem("dpdk-testpmd " + ("ended" if ready else "hangs") + ":\n"
                              + self.complaint())
            self.text += piece
            self.log += piece
        before, self.text = self.text.split(what, 1)
        return before.decode(errors="replace")

    def complaint(self):
        lines = self.log.decode(errors="replace").replace("\r", "").split("\n")
        telling = [l for l in lines
                   if re.search(r"^ioas: (?!mode )|EAL: (Cannot|Error|FATAL)|Cause:|rror while load", l)]
        return "\n".join("  " + l for l in (telling or lines)[-8:])

    def ask(self, line):
        os.write(self.terminal, line.encode() + b"\n")
        self.until(line.encode(), 5)  # its echo
        return self.until(PROMPT, 10)

    def sample(self):
        """Extended statistics of all ports."""
        ports = {}
        values = None
        for line in self.ask("show port xstats all").replace("\r", "").split("\n"):
            found = re.search(r"extended statistics for port (\d+)", line)
            if found:
                values = ports.setdefault(int(found[1]), {})
            found = re.match(r"(\w+): (\d+)$", line.strip())
            if found and values is not None:
                values[found[1]] = int(found[2])
        if len(ports) != self.ports or any("clock_ns" not in p for p in ports.values()):
            raise Problem("dpdk-testpmd shows no statistics of its ports:\n" + self.complaint())
        return ports

    def lcore_time(self):
        """(time that the forwarding lcore has had a processor, time), in ns."""
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm") as f:
                if not f.read().startswith("rte-worker"):
                    continue
            with open(f"{tasks}/{task}/schedstat") as f:
                return int(f.read().split()[0]), time.monotonic_ns()
        raise Problem("dpdk-testpmd has no forwarding lcore:\n" + self.complaint())

    def quit(self):
        os.write(self.terminal, b"quit\n")
        deadline = time.monotonic() + 15
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise Problem("dpdk-testpmd does not end:\n" + self.complaint())
            if select.select([self.terminal], [], [], 0.02)[0]:
                try:
                    self.log += os.read(self.terminal, 65536)
                except OSError:
                    pass
        if self.process.returncode != 0:
            raise Problem(f"dpdk-testpmd ended with {self.process.returncode}:\n"
                          + self.complaint())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)


