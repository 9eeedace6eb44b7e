#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/perf: what it says without perf, without permission, of bad command lines, and of one row.

usage: test_perf.py [CASE...]
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/scripts"))

import tap  # noqa: E402
from tap import Skip, check  # noqa: E402


class Perf:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def stub(self, body):
        path = self.folder / "perf"
        path.write_text("#!/bin/sh\n" + body + "\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def perf(self, *arguments, **environment):
        env = dict(os.environ, LC_ALL="C", **{name: str(value) for name, value in environment.items()})
        return subprocess.run([ROOT / "bench/perf", *arguments], stdin=subprocess.DEVNULL, env=env,
                              capture_output=True, text=True, timeout=500, check=False)

    def expect(self, done, status, text):
        check(done.returncode == status and text in done.stderr,
              f"exit status {done.returncode}, {status} expected, with '{text}': {done.stdout}{done.stderr}")

    def case_missing(self):
        done = self.perf("translate/random", IOAS_PERF=self.folder / "none")
        self.expect(done, 77, "none is missing: apt-get install linux-perf")

    def case_not_permitted(self):
        program = self.stub('[ "$1" = stat ] || { echo "Access is limited" >&2; exit 255; }')
        done = self.perf("translate/random", IOAS_PERF=program)
        self.expect(done, 77, "perf_event_paranoid at 1 or less): Access is limited")

    def case_event(self):
        """cpu-clock where cycles are not counted, cycles where they are."""
        for text, event in (("<not supported>,,cycles,0,100.00,,", "cpu-clock"), ("1,,cycles", "cycles")):
            program = self.stub(f'[ "$1" = record ] && exit 1; echo "{text}" >&2')
            self.expect(self.perf("translate/random", IOAS_PERF=program), 77, f"may not record {event} ")

    def case_command_line(self):
        program = self.stub("exit 0")
        for words, text in (([], "which row?"), (["a", "b"], "b: one row at a time"), (["--more"], "--more"),
                            (["--seconds"], "--seconds: how many?"), (["--seconds", "0.0", "a"], "--seconds 0.0"),
                            (["--seconds", "x", "a"], "--seconds x")):
            self.expect(self.perf(*words, IOAS_PERF=program), 2, text)

    def case_no_such_row(self):
        self.expect(self.perf("translate/rand", IOAS_PERF=self.stub("exit 0")), 2, "translate/rand: no such row")

    def case_finds_what_takes_the_time(self):
        done = self.perf("--annotate", "--seconds", "0.2", "translate/random")
        if done.returncode == 77:
            raise Skip(done.stderr.strip())
        check(done.returncode == 0, done.stdout + done.stderr)
        share = re.search(r"^ *([\d.]+)% +bench +\[\.\] ioas_translate$", done.stdout, re.M)
        check(share and float(share[1]) > 20, f"ioas_translate() is most of that row: {done.stdout}")
        check(re.search(r"^instructions of ioas_translate, .*\n +[\d.]+ :", done.stdout, re.M), done.stdout)
        check("floor/" not in done.stdout, "the row alone is recorded")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.exit(tap.run(Perf(place)))
