# SPDX-License-Identifier: BSD-3-Clause
"""Boots a machine, runs programs in it, and says how each of them went.

The machine has two serial ports, both sockets of ours. The first carries the kernel's messages: they
are kept, and searched for signs of trouble. The second carries what the programs print, and between
it the guest's own lines, which begin with a word made up for this boot:

    TOKEN ready               the guest's first process runs; what came before is the firmware's
    TOKEN begin NAME          a program starts
    TOKEN result NAME STATUS  it has ended
    TOKEN broken TEXT         the machine could not be set up
    TOKEN end                 all programs have run; the machine switches off

QEMU cannot outlive the runner: it is killed by its process id when the time is up or the runner is
interrupted, and by the kernel should the runner itself be killed.
"""

import argparse
import ctypes
import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import guest, machines
from .cache import LabError

# The lab's own exit codes. A program may use the same numbers; the lab's are explained on stderr.
EXIT_WARNING, EXIT_PANIC, EXIT_TIMEOUT, EXIT_LAB = 122, 123, 124, 125
EXIT_SKIP = 77

PANIC = re.compile(
    r"Kernel panic|\bOops\b|\bBUG: |kernel BUG at|Unable to handle kernel|Internal error: "
    r"|KASAN: |KFENCE: ")
WARNING = re.compile(
    r"\bWARNING: |UBSAN: |possible circular locking|self-detected stall|detected stalls"
    r"|blocked for more than \d+ seconds|kmemleak: \d+ new|refcount_t: ")

# A busy host makes the guest slow: its watchdogs get more patience than they have by default.
APPEND = ("panic=-1 oops=panic rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30 "
          "printk.devkmsg=on")
SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
PR_SET_PDEATHSIG = 1


@dataclass
class Test:
    name: str
    command: list
    limit: int = 86400            # seconds it may take
    status: object = None         # exit status; "lost" if it began only; None if it never ran
    trouble: list = field(default_factory=list)   # kernel messages that came while it ran
    seconds: float = 0            # it took
    cpu: float = 0                # seconds of processor time that QEMU took meanwhile

    def reset(self):
        self.status, self.trouble, self.seconds, self.cpu = None, [], 0, 0

    def verdict(self):
        return "notrun" if self.status is None else str(self.status)


@dataclass
class Outcome:
    tests: list
    status: int = 0
    reason: str = ""
    kernel_log: str = ""
    seconds: float = 0
    cpu: float = 0                # seconds of processor time of QEMU

    def last_messages(self):
        """What the kernel said last, if the machine itself came to grief; or an empty text."""
        if self.status not in (EXIT_PANIC, EXIT_TIMEOUT, EXIT_LAB):
            return ""
        tail = self.kernel_log.splitlines()[-40:]
        return "\n".join(["--- the kernel's last messages", *tail, "---", ""])


def add_options(parser):
    """The options that describe the machine; the same for `lab` and `shell`."""
    add = parser.add_argument
    add("--memory", metavar="SIZE", help="default: 1536M and the hugepages")
    add("--cpus", type=int, default=2, metavar="N", help="default: 2")
    add("--hugepages", action="append", metavar="SIZE=N",
        help="reserve N pages of 2M or 1G; may be repeated (default: 2M=64)")
    add("--no-edu", dest="edu", action="store_false", help="leave the edu device out")
    add("--nvme", type=int, default=1, metavar="N", help="number of NVMe controllers (default: 1)")
    add("--nvme-size", default="64M", metavar="SIZE", help="of each scratch image (default: 64M)")
    add("--nic", action="append", default=[], choices=sorted(machines.NIC_OPTIONS),
        help="a NIC behind a root port of its own; repeated ones share a hub")
    add("--group", action="store_true",
        help="x86: two edu devices and a virtio-rng, group0 to group2, in one IOMMU group")
    add("--bind", action="append", default=[], metavar="DEVICE=DRIVER",
        help="e.g. edu=vfio-pci, nvme0=none, nic1=vfio-pci; may be repeated")
    add("--add", action="append", default=[], metavar="FILE[:GUESTFILE]",
        help="bring a file, library or folder along (default place: /lab/NAME)")
    add("--module", action="append", default=[], metavar="FILE.ko", help="load a module of ours")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="for the programs")
    add("--append", default="", metavar="TEXT", help="kernel options")
    add("--qemu10", action="store_true",
        help="x86: QEMU 10.0 in place of 7.2, which has no igb")
    add("--qemu", action="append", default=[], metavar="WORD",
        help="one more word for QEMU; write --qemu=-device --qemu=...")
    add("--iommu", default="", metavar="OPTIONS",
        help="x86: more options of intel-iommu, e.g. caching-mode=on,aw-bits=48")


def default_options(**changes):
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = parser.parse_args([])
    options.timeout, options.allow, options.console = 120, [], None
    options.netdev = []    # what each NIC is connected to, as QEMU has it; by default one hub
    for name, value in changes.items():
        setattr(options, name, value)
    return options


def size(text):
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match:
        raise LabError(f"{text}: not a size; write for example 64M or 2G")
    return int(match[1]) * SIZES.get(match[2], 1)


def hugepages(options):
    counts = {"2M": 0, "1G": 0}
    for text in ["2M=64"] if options.hugepages is None else options.hugepages:
        kind, _, count = text.partition("=")
        if kind not in counts or not count.isdigit():
            raise LabError(f"--hugepages {text}: write 2M=N or 1G=N")
        counts[kind] = int(count)
    return counts


def default_memory(pages):
    """Memory for the hugepages and 1536 MiB beside them. On x86 only what lies above 4 GiB is free of
    firmware tables and of the initramfs, so that pages of 1 GiB fit; 2 GiB lie below."""
    memory = size("1536M") + pages["2M"] * size("2M")
    if pages["1G"]:
        memory += (pages["1G"] + 1) * size("1G")
    return memory


def binding(text, places):
    device, _, driver = text.partition("=")
    if device not in places or not driver:
        raise LabError(f"--bind {text}: write DEVICE=DRIVER; devices are: {' '.join(places)}")
    return f"LAB_{device.upper()}={driver}"


class Setup:
    """The files and the command line of one boot; lives in a folder that goes with it."""

    def __init__(self, machine, options, tests, folder, override_iort=True, for_person=False):
        self.machine, self.options = machine, options
        self.for_person = for_person
        self.token = "lab-" + secrets.token_hex(8)
        images = []
        for index in range(options.nvme):
            image = Path(folder) / f"nvme{index}"
            with open(image, "wb") as file:
                file.truncate(size(options.nvme_size))
            images.append(image)
        self.device_arguments, places = machines.devices(machine, options, images)
        self.pages = hugepages(options)
        contents = guest.Contents(machine)
        contents.settings = {
            "LAB_TOKEN": self.token,
            "LAB_RESULTS": machine.results,
            "LAB_SHELL": "1" if for_person else "",
            "LAB_HUGEPAGES_2M": self.pages["2M"],
            "LAB_HUGEPAGES_1G": self.pages["1G"],
            "LAB_MODULES": " ".join(guest.MODULES),
            "LAB_PLACES": " ".join(f"LAB_{name.upper()}={place}"
                                   for name, place in places.items()),
            "LAB_BIND": " ".join(binding(text, places) for text in options.bind),
        }
        contents.environment["LAB_MACHINE"] = machine.name
        for text in options.env:
            name, equals, value = text.partition("=")
            if not equals or not name.isidentifier():
                raise LabError(f"--env {text}: write NAME=VALUE")
            contents.environment[name] = value
        for text in options.add:
            source, _, name = text.partition(":")
            contents.add(name.strip("/") or f"lab/{Path(source).name}", source)
        modules = []
        for source in options.module:
            contents.add(f"lab/modules/{Path(source).name}", source)
            modules.append(f"/lab/modules/{Path(source).name}")
        contents.settings["LAB_OWN_MODULES"] = " ".join(modules)
        for test in tests:
            contents.add_test(test)
        self.initramfs = Path(folder) / "initramfs"
        table = machine.iort.path / "IORT.aml" if machine.iort and override_iort else None
        with open(self.initramfs, "wb") as file:
            guest.write(file, machine, contents, table)

    def command(self):
        machine, options = self.machine, self.options
        command, environment = machine.command()
        if options.iommu:
            if machine.arch != "x86":
                raise LabError("--iommu is for the x86 machines")
            at = next(i for i, word in enumerate(command) if word.startswith("intel-iommu"))
            command[at] += "," + options.iommu
        memory = size(options.memory) if options.memory else default_memory(self.pages)
        append = [f"console={machine.console}", machine.append, APPEND,
                  f"loglevel={4 if self.for_person else 8}"]
        for kind, count in self.pages.items():
            if count:
                append.append(f"hugepagesz={kind} hugepages={count}")
        append.append(options.append)
        command += [
            "-accel", f"tcg,thread={machine.tcg_threads()}", "-m", f"{memory >> 20}M", "-smp", str(options.cpus),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(machine.kernel.path / "image"), "-initrd", str(self.initramfs),
            "-append", " ".join(filter(None, append)), *self.device_arguments, *options.qemu]
        return command, dict(os.environ, **environment)


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Boot:
    """One run of a machine: two streams to watch until QEMU ends or the time is up."""

    def __init__(self, setup, tests, output):
        self.setup, self.output = setup, output
        self.tests = {test.name: test for test in tests}
        self.current = None
        self.ready = self.ended = False
        self.broken = ""
        self.timed_out = False
        self.pending = b""             # of the results: what may yet become a line of the lab's
        self.at_line_start = True
        self.log = bytearray()

    def run(self):
        options = self.setup.options
        command, environment = self.setup.command()
        console, far_console = socket.socketpair()
        results, far_results = socket.socketpair()
        for name, far in (("console", far_console), ("results", far_results)):
            command += ["-chardev", f"socket,id={name},fd={far.fileno()}",
                        "-serial", f"chardev:{name}"]
        deadline = time.monotonic() + options.timeout
        with tempfile.TemporaryFile("w+") as errors:
            qemu = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                pass_fds=[far_console.fileno(), far_results.fileno()],
                preexec_fn=die_with_parent, start_new_session=True)
            self.pid = qemu.pid
            try:
                far_console.close()
                far_results.close()
                self._watch(console, results, deadline)
                if not self.timed_out:
                    qemu.wait(timeout=max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.timed_out = True
            finally:
                if qemu.poll() is None:
                    qemu.kill()
                qemu.wait()
            errors.seek(0)
            self.qemu_messages = errors.read().strip()
        self.qemu_status = qemu.returncode
        self._flush()

    def _watch(self, console, results, deadline):
        live = self.setup.options.console
        with selectors.DefaultSelector() as selector:
            selector.register(console, selectors.EVENT_READ, "console")
            selector.register(results, selectors.EVENT_READ, "results")
            while selector.get_map():
                left = deadline - time.monotonic()
                if left <= 0:
                    self.timed_out = True
                    return
                for key, _ in selector.select(left):
                    try:
                        data = key.fileobj.recv(65536)
                    except ConnectionResetError:
                        data = b""
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.data == "console":
                        self.log += data
                        if live:
                            live(data.decode(errors="replace"))
                    else:
                        self._take(data)

    def _take(self, data):
        """Splits the second stream into the programs' output and the lab's lines."""
        token = self.setup.token.encode()
        self.pending += data
        while True:
            at = self.pending.find(token)
            if at < 0:
                # The end may be the beginning of a token: keep that much.
                keep = next((n for n in range(len(token) - 1, 0, -1)
                             if self.pending.endswith(token[:n])), 0)
                cut = len(self.pending) - keep
                self._print(self.pending[:cut])
                self.pending = self.pending[cut:]
                return
            end = self.pending.find(b"\n", at)
            if end < 0:
                self._print(self.pending[:at])
                self.pending = self.pending[at:]
                return
            self._print(self.pending[:at])
            line = self.pending[at + len(token):end].decode(errors="replace").strip()
            self.pending = self.pending[end + 1:]
            self._obey(line)

    def _print(self, data):
        if data and self.ready:
            self.at_line_start = data.endswith(b"\n")
            self.output(data.decode(errors="replace"))

    def _flush(self):
        self._print(self.pending)
        self.pending = b""
        self._new_line()

    def _new_line(self):
        if not self.at_line_start:
            self.output("\n")
            self.at_line_start = True

    def _times(self):
        """The time, and the processor time of QEMU by now, in seconds."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return time.monotonic(), (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def _obey(self, line):
        verb, _, rest = line.partition(" ")
        if verb == "ready":
            self.ready = True
        elif verb == "begin":
            self.current = self.tests[rest]
            self.current.status = "lost"
            self.began = self._times()
        elif verb == "result":
            name, status = rest.rsplit(" ", 1)
            test = self.tests[name]
            test.status = int(status)
            test.seconds, test.cpu = (now - then for now, then in zip(self._times(), self.began))
            self._new_line()
            self.output(f"LAB-RESULT {name} {status}\n")
        elif verb == "broken":
            self.broken = rest
        elif verb == "end":
            self.ended = True


def boot_once(machine, options, tests, output, override_iort):
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        run = Boot(Setup(machine, options, tests, folder, override_iort), tests, output)
        run.run()
    return run


def boot(machine, options, tests, output, override_iort=True):
    """Runs the tests in one boot. `output` is called with text as it comes."""
    names = [test.name for test in tests]
    if len(set(names)) != len(names):
        raise LabError("two programs have the same name")
    started = time.monotonic()
    run = boot_once(machine, options, tests, output, override_iort)
    if run.qemu_status == -signal.SIGABRT:
        # Its address spaces have races between processors (iotlb_to_section(), QEMU 10.0).
        output(f"lab: {machine.name}: QEMU fell over an assertion of its own, once more: "
               f"{run.qemu_messages}\n")
        for test in tests:
            test.reset()
        run = boot_once(machine, options, tests, output, override_iort)
    for test in tests:
        if not isinstance(test.status, int):
            output(f"LAB-RESULT {test.name} {test.verdict()}\n")
    outcome = Outcome(tests, kernel_log=run.log.decode(errors="replace").replace("\r", ""))
    judge(outcome, run, options)
    outcome.seconds = time.monotonic() - started
    return outcome


def judge(outcome, run, options):
    """The exit status of the whole: a kernel in trouble outweighs what programs say."""
    allowed = [re.compile(text) for text in options.allow]
    panics, warnings, current = [], [], None
    by_name = {test.name: test for test in outcome.tests}
    for line in outcome.kernel_log.splitlines():
        if match := re.search(r"lab: (begin|end) (.*)$", line):
            current = by_name.get(match[2]) if match[1] == "begin" else None
        elif any(pattern.search(line) for pattern in allowed):
            continue
        elif PANIC.search(line) or WARNING.search(line):
            (panics if PANIC.search(line) else warnings).append(line)
            if current:
                current.trouble.append(line)
    failed = [test for test in outcome.tests if test.status not in (0, EXIT_SKIP)]
    if panics:
        outcome.status, outcome.reason = EXIT_PANIC, f"kernel: {panics[0].strip()}"
    elif run.timed_out:
        where = f" in {run.current.name}" if run.current and not run.ended else ""
        outcome.status, outcome.reason = EXIT_TIMEOUT, f"{options.timeout} s are over{where}"
    elif run.broken:
        outcome.status, outcome.reason = EXIT_LAB, f"the machine's set-up failed: {run.broken}"
    elif not run.ended:
        outcome.status = EXIT_LAB
        outcome.reason = (f"QEMU ended early ({run.qemu_status}): "
                          f"{run.qemu_messages or 'it said nothing'}")
    elif warnings:
        outcome.status, outcome.reason = EXIT_WARNING, f"kernel: {warnings[0].strip()}"
    elif len(outcome.tests) == 1:
        outcome.status = outcome.tests[0].status
    elif failed:
        outcome.status = 1
        outcome.reason = "failed: " + ", ".join(test.name for test in failed)
