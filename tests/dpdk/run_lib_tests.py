#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run the tests of libioas_dpdk under each kind of EAL that they are for; print TAP.

usage: run_lib_tests.py PROGRAM...
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../scripts"))

from ioas_testpmd import Problem, reserve_hugepages  # noqa: E402

MEMORY = "follows,grows,between,races,heap,external,bad_map,fails,registers,keeps"
USE = "options,busy,devices,queues,quiescent,mbufs,pinned,faults,left_open"
STILL = "follows,external,bad_map"  # of memory that never changes
IN_MEMORY = ["--in-memory"]
# A case that ends its own process by SIGKILL, and the line of the process that outlives it.
ENDS_ITSELF = {"orphans": "orphan"}
PREFIX = f"ioas-test-{os.getpid()}"
# Name, program, cases, EAL options. HUGETLBFS: a mount of its own. TELEMETRY: with its socket.
RUNS = [
    ("VA", "memory", MEMORY, [*IN_MEMORY, "--iova-mode=va"]),
    ("VA, initial memory", "memory", "follows,grows", [*IN_MEMORY, "--iova-mode=va", "-m", "16"]),
    ("VA, match allocations", "memory", "follows,grows,races",
     ["HUGETLBFS", "--iova-mode=va", "--match-allocations"]),
    ("VA, single-file segments", "memory", "follows,grows,races",
     ["HUGETLBFS", "--iova-mode=va", "--single-file-segments"]),
    ("VA, legacy memory", "memory", STILL, ["HUGETLBFS", "--iova-mode=va", "--legacy-mem", "-m", "64"]),
    ("VA, no huge pages", "memory", STILL, ["--no-huge", "--iova-mode=va", "-m", "64"]),
    ("PA", "memory", "follows,grows,between,races,no_physical", [*IN_MEMORY, "--iova-mode=pa"]),
    ("PA, legacy memory", "memory", "follows", ["HUGETLBFS", "--iova-mode=pa", "--legacy-mem", "-m", "64"]),
    ("use", "use", USE, [*IN_MEMORY, "--iova-mode=va"]),
    ("use", "use", "telemetry", [*IN_MEMORY, "--iova-mode=va", "TELEMETRY"]),
    ("use, no huge pages", "use", "mbufs,pinned", ["--no-huge", "--iova-mode=va", "-m", "64"]),
    ("secondary processes", "peers", "sees,asks,dies,closes,reads_only", ["HUGETLBFS", "--iova-mode=va"]),
    ("secondary processes", "peers", "orphans", ["HUGETLBFS", "--iova-mode=va"]),
    ("attach time", "attach", "pages,kept,initial,extmem", [*IN_MEMORY, "--iova-mode=va"]),
]


def command(program, cases, options, folder):
    cpus = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    line = [program, cases, "--lcores", f"0@{cpus[0]},1@{cpus[1]}", "--no-pci",
            f"--file-prefix={PREFIX}"]
    line += ["--no-telemetry"] if "TELEMETRY" not in options else []
    options = [option for option in options if option != "TELEMETRY"]
    if "HUGETLBFS" not in options:
        return line + options
    options = [option for option in options if option != "HUGETLBFS"]
    mount = 'mount -t hugetlbfs -o pagesize=2M none "$0" && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mount, folder, *line, "--huge-dir", folder, *options]


class Tap:
    def __init__(self):
        self.number = 0
        self.failed = 0

    def result(self, good, text):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {text}")


def run(tap, name, program, cases, options):
    with tempfile.TemporaryDirectory(prefix="ioas-") as folder:
        done = subprocess.run(command(program, cases, options, folder), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
    wanted = cases.split(",")
    lines = [ENDS_ITSELF.get(case, case) for case in wanted]
    passed = []
    for line in done.stdout.splitlines():
        good = re.match(r"(\w+): ok$", line)
        if good and good[1] in lines:
            passed.append(good[1])
            tap.result(True, f"{name}: {wanted[lines.index(good[1])]}")
        else:
            print(line if line.startswith("# ") else f"# {line}")
    for case in [case for case in lines if case not in passed][:1]:
        tap.result(False, f"{name}: {case}: exit status {done.returncode}")
    status = -signal.SIGKILL if cases in ENDS_ITSELF else 0
    if done.returncode != status and len(passed) == len(wanted):
        tap.result(False, f"{name}: exit status {done.returncode} at the end")


def main():
    try:
        reserve_hugepages()
    except Problem as e:
        print(f"1..0 # SKIP {e}")
        return 77
    programs = {os.path.basename(path)[len("test_dpdk_lib_"):]: path for path in sys.argv[1:]}
    tap = Tap()
    for name, program, cases, options in RUNS:
        run(tap, name, programs[program], cases, options)
    shutil.rmtree(f"/var/run/dpdk/{PREFIX}", ignore_errors=True)  # EAL leaves it
    print(f"1..{tap.number}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
