#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Start a DPDK test program on two lcores with huge pages; turn its "NAME: ok" lines into TAP.

usage: run_pool_test.py PROGRAM
"""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../scripts"))

from ioas_testpmd import Problem, reserve_hugepages  # noqa: E402


def main():
    try:
        reserve_hugepages()
    except Problem as e:
        print(f"1..0 # SKIP {e}")
        return 77
    cpus = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    command = [sys.argv[1], "--lcores", f"0@{cpus[0]},1@{cpus[1]}", "--in-memory", "--no-pci",
               "--no-telemetry", "--iova-mode=va"]
    environment = {name: value for name, value in os.environ.items() if name != "IOAS_DPDK"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, env=environment)
    number = 0
    for line in done.stdout.splitlines():
        good = re.match(r"([\w ]+): ok$", line)
        if good:
            number += 1
            print(f"ok {number} - {good[1]}")
        else:
            print(f"# {line}")
    if done.returncode != 0 or number == 0:
        number += 1
        print(f"not ok {number} - the mode after these: exit status {done.returncode}")
    print(f"1..{number}")
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
