#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The main job, run shortly: the form of what it prints, and a clear error for bad input.

usage: test_main_job.py [CASE...]
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import tap  # noqa: E402
from tap import check  # noqa: E402

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
MAIN_JOB = os.path.join(ROOT, "scripts/main-job")
SHORT = ["--rounds", "1", "--seconds", "0.3"]
NUMBER = r"\d+\.\d{3}"
RESULT = re.compile(rf"RESULT protected/static={NUMBER} imix={NUMBER} "
                    rf"ioctls_per_packet={NUMBER} rogue_dma=blocked")
MODES = ("no IOMMU", "mapped for ever", "per buffer, one call each", "per buffer, ours")


def pcap(frames=20, size=100):
    """Bytes of a small capture."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number in range(frames):
        frame = bytes.fromhex("020000000002020000000001") + b"\x88\xb5" + bytes([number] * size)
        data += struct.pack("<IIII", number, 0, len(frame), len(frame)) + frame
    return data


class MainJob:
    def __init__(self, folder):
        self.folder = folder

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(content)
        return path

    def run(self, *args, program=MAIN_JOB, env=None, cwd=None):
        return subprocess.run([program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=150, check=False,
                              cwd=cwd or self.folder, env=dict(os.environ, **(env or {})))

    def job(self, *args):
        """A run that must work. Return: its output."""
        done = self.run(*SHORT, *args)
        check(done.returncode == 0, f"exit status {done.returncode}:\n{done.stdout}")
        last = done.stdout.rstrip("\n").split("\n")[-1]
        check(RESULT.fullmatch(last), f"last line: {last}\n{done.stdout}")
        return done.stdout

    def refused(self, wanted, *args, **how):
        """A run that must say @wanted, at once and in few lines, and end with 2."""
        done = self.run(*SHORT, *args, **how)
        check(done.returncode == 2, f"exit status {done.returncode}:\n{done.stdout}")
        check("RESULT" not in done.stdout, done.stdout)
        check("Traceback" not in done.stdout, done.stdout)
        for word in wanted if isinstance(wanted, tuple) else (wanted,):
            check(word in done.stdout, f"no '{word}' in:\n{done.stdout}")

    # Runs -----------------------------------------------------------------------------------------

    def case_recorded(self):
        """Without a capture: progress, the table of all modes, the rogue device."""
        output = self.job()
        check("recorded" in output, output)
        for feed in ("IMIX", "64 bytes"):
            for mode in (*MODES, "mapped, a page per buffer", "ours under DPDK's cache"):
                check(re.search(rf"^{feed} +{re.escape(mode)} +\d+\.\d\d ", output, re.MULTILINE),
                      f"no row '{feed}', '{mode}' in:\n{output}")
        for mode, verdict in zip(MODES, ("memory overwritten", "memory overwritten",
                                         "blocked and reported", "blocked and reported")):
            check(re.search(rf"^ +{re.escape(mode)} .*: {verdict}$", output, re.MULTILINE),
                  f"mode '{mode}' is not '{verdict}' in:\n{output}")
        check(re.search(r"\[ *1/\d+\] round 1", output), f"no progress in:\n{output}")

    def case_capture_from_another_folder(self):
        """A capture by a name that is relative to where the user is."""
        self.file("small.pcap", pcap())
        check("small.pcap" in self.job("small.pcap"), "the capture is not named")

    # Bad input ------------------------------------------------------------------------------------

    def case_empty_capture(self):
        path = self.file("empty.pcap", b"")
        self.refused((path, "empty"), path)

    def case_missing_capture(self):
        path = os.path.join(self.folder, "missing.pcap")
        self.refused((path, "No such file"), path)

    def case_folder_as_capture(self):
        self.refused((self.folder, "directory"), self.folder)

    def case_truncated_captures(self):
        """Within a packet, within a packet's header, within the file's header."""
        for name, size in (("packet.pcap", -7), ("header.pcap", 24 + 8), ("file.pcap", 10)):
            path = self.file(name, pcap()[:size])
            self.refused(path, path)

    def case_capture_without_packets(self):
        path = self.file("none.pcap", pcap(frames=0))
        self.refused(path, path)

    def case_text_as_capture(self):
        path = self.file("text.pcap", b"no capture at all\n" * 20)
        self.refused(path, path)

    def case_comma_in_name(self):
        path = self.file("a,b.pcap", pcap())
        self.refused((path, "comma"), path)

    def case_missing_dpdk(self):
        """A PATH that has all but dpdk-testpmd."""
        tools = os.path.join(self.folder, "tools")
        os.mkdir(tools)
        for name in ("python3", "env", "tcpdump"):
            os.symlink(shutil.which(name), os.path.join(tools, name))
        self.refused("dpdk-testpmd is missing: apt-get install dpdk-dev", env={"PATH": tools})

    def case_missing_tcpdump(self):
        tools = os.path.join(self.folder, "fewer-tools")
        os.mkdir(tools)
        for name in ("python3", "env", "dpdk-testpmd"):
            os.symlink(shutil.which(name), os.path.join(tools, name))
        self.refused("tcpdump is missing: apt-get install tcpdump", env={"PATH": tools})

    def case_missing_build(self):
        self.refused(("librte_ioas.so is missing", "meson"), "--build", self.folder)

    def case_bad_numbers(self):
        self.refused("must be positive", "--rounds", "0")
        self.refused("must be positive", "--seconds", "-1")

    # ./run ----------------------------------------------------------------------------------------

    def case_run_refuses_unknown_words(self):
        for words in (["nvmes"], ["--fast"], ["a.pcap", "b.pcap"]):
            done = self.run(*words, program=os.path.join(ROOT, "run"))
            check(done.returncode == 2 and "usage: ./run" in done.stdout,
                  f"./run {words}: {done.returncode}\n{done.stdout}")

    def case_run_names_missing_file(self):
        done = self.run("missing.pcap", program=os.path.join(ROOT, "run"))
        check(done.returncode == 2 and "'missing.pcap'" in done.stdout,
              f"{done.returncode}\n{done.stdout}")


def main():
    folder = tempfile.mkdtemp(prefix="ioas-main-job-test-")
    try:
        return tap.run(MainJob(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
