#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Set-up and the test runner themselves: what they do on machines that are not as they should be.

Package tools are replaced by small scripts that come first in PATH.

usage: test_setup.py [CASE...]
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "../.."))
sys.path[:0] = [HERE, os.path.join(ROOT, "scripts")]

import tap  # noqa: E402
from tap import check  # noqa: E402
from testkit import counts, programs  # noqa: E402

SETUP = os.path.join(ROOT, "scripts/setup-packages")


class Setup:
    def __init__(self, folder):
        self.folder = folder

    def stubs(self, name, scripts):
        """A folder for the front of PATH: {program: body}."""
        place = os.path.join(self.folder, name)
        os.mkdir(place)
        for program, body in scripts.items():
            path = os.path.join(place, program)
            with open(path, "w", encoding="utf-8") as f:
                f.write("#!/bin/bash\n" + body + "\n")
            os.chmod(path, 0o755)
        return place

    def setup(self, place, *words):
        env = dict(os.environ, PATH=f"{place}:{os.environ['PATH']}", PLACE=place)
        return subprocess.run([SETUP, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False, env=env)

    # Packages -------------------------------------------------------------------------------------

    def case_nothing_missing(self):
        """All packages there: not a word, and apt is not asked."""
        place = self.stubs("complete", {
            "dpkg-query": 'for name in "${@:4}"; do echo "$name installed"; done',
            "apt-get": "echo apt was called; exit 1"})
        done = self.setup(place, "test")
        check(done.returncode == 0 and done.stdout == "", f"{done.returncode}: {done.stdout}")

    def case_not_root(self):
        place = self.stubs("user", {"dpkg-query": "exit 1", "id": "echo 1000",
                                    "apt-get": "echo apt was called; exit 1"})
        done = self.setup(place, "run")
        check(done.returncode == 1, str(done.returncode))
        check("only root" in done.stdout and "apt-get install" in done.stdout, done.stdout)
        check("libdpdk-dev" in done.stdout and "apt was called" not in done.stdout, done.stdout)

    def case_no_apt(self):
        """A PATH without apt: a machine that is no Debian."""
        place = self.stubs("foreign", {})
        for name in ("bash", "sed", "grep", "paste", "id", "date", "awk", "env"):
            os.symlink(shutil.which(name), os.path.join(place, name))
        done = subprocess.run([shutil.which("bash"), SETUP, "run"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False, env={"PATH": place})
        check(done.returncode == 1 and "Debian 12" in done.stdout, f"{done.returncode}: {done.stdout}")

    def case_install(self):
        """Only what is missing is installed, after an update; a second run does nothing."""
        place = self.stubs("fresh", {
            "id": "echo 0",
            "dpkg-query": '[ -e "$PLACE/done" ] && gone= || gone="meson tcpdump"\n'
                          'for name in "${@:4}"; do\n'
                          '	[[ " $gone " = *" $name "* ]] || echo "$name installed"\n'
                          'done',
            "apt-get": 'echo "$@" >>"$PLACE/calls"\n'
                       '[[ " $* " != *" install "* ]] || touch "$PLACE/done"'})
        done = self.setup(place, "run")
        check(done.returncode == 0, done.stdout)
        with open(os.path.join(place, "calls"), encoding="utf-8") as f:
            calls = f.read().splitlines()
        check(len(calls) == 2 and calls[0].endswith(" update")
              and calls[1].endswith(" meson tcpdump"), str(calls))
        done = self.setup(place, "run")
        check(done.returncode == 0 and done.stdout == "", done.stdout)

    def case_install_fails(self):
        """apt's own words are shown, and where the rest of them is."""
        place = self.stubs("broken", {
            "id": "echo 0", "dpkg-query": "exit 1",
            "apt-get": 'if [[ " $* " = *" install "* ]]; then\n'
                       '	echo "E: Unable to locate package meson"; exit 100\nfi'})
        done = self.setup(place, "run")
        check(done.returncode == 1 and "E: Unable to locate package" in done.stdout, done.stdout)

    def case_install_does_nothing(self):
        """apt says that it worked, and the packages are still missing."""
        place = self.stubs("liar", {"id": "echo 0", "dpkg-query": "exit 1", "apt-get": "exit 0"})
        done = self.setup(place, "run")
        check(done.returncode == 1 and "still missing" in done.stdout, done.stdout)

    def case_headers_without_archive(self):
        """dpdk-headers knows no package host of its own."""
        place = self.stubs("no-archive", {
            "apt-get": "exit 0", "dpkg-query": "echo 22.11.0-1"})
        env = dict(os.environ, PATH=f"{place}:{os.environ['PATH']}")
        done = subprocess.run(
            [os.path.join(ROOT, "scripts/dpdk-headers"), "--cache", place + "/cache"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60, check=False, env=env)
        check(done.returncode == 1 and "no list of a Debian archive" in done.stdout, done.stdout)

    # The runner -----------------------------------------------------------------------------------

    def case_unknown_group(self):
        done = subprocess.run([os.path.join(ROOT, "test"), "everything"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
        check(done.returncode == 2 and "usage: ./test" in done.stdout, done.stdout)

    def case_counting(self):
        """What TAP output and exit status are counted as."""
        for output, status, wanted in (
                ("1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
                ("1..2\nok 1 - a\nnot ok 2 - b\n", 1, (1, 1, 0)),
                ("1..2\nok 1 - a\nnot ok 2 # SKIP b\n", 0, (1, 0, 1)),
                ("1..2\nok 1 - a\nok 2 - b # skip why\n", 0, (1, 0, 1)),
                ("1..0 # SKIP nothing here\n", 0, (0, 0, 1)),
                ("", 77, (0, 0, 1)),
                ("", 0, (0, 1, 0)),  # a program that tests nothing is wrong
                ("1..3\nok 1 - a\n", -11, (1, 2, 0)),  # crashed after the first
                ("1..1\nok 1 - a\n", 1, (1, 1, 0)),  # a leak found at exit
                ("ok 1 - a\nok 2 - b\n1..2\n", 0, (2, 0, 0)),
                ("1..1\nok 1 - a\n1..1\nok 1 - c\n", 0, (2, 0, 0))):
            got = counts.tap(output, status)
            check((got.passed, got.failed, got.skipped) == wanted, f"{output!r} {status}: {got}")
        got = counts.cases("a: ok (1 s)\nb: FAILED\nwhy\n", 1)
        check((got.passed, got.failed) == (1, 1), str(got))
        got = counts.suite_lines("suite lab-a: 1 passed, 2 failed, 3 skipped\nother\n")
        check(str(got["lab-a"]) == "1 passed, 2 failed, 3 skipped", str(got))

    def case_time_limit(self):
        """A program that hangs, with a child that holds its output open, is ended and counted."""
        outcome = programs.run(["bash", "-c", "echo ok 1; sleep 60 & sleep 60"], 0.5)
        check(outcome.status == programs.STATUS_TIMEOUT and outcome.seconds < 20, str(outcome))
        check(counts.tap(outcome.output, outcome.status).failed == 1, str(outcome))

    def case_crash(self):
        outcome = programs.run(["bash", "-c", "kill -SEGV $$"], 10)
        check(outcome.trouble() == "ended by SIGSEGV", outcome.trouble())


def main():
    folder = tempfile.mkdtemp(prefix="ioas-setup-test-")
    try:
        return tap.run(Setup(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
