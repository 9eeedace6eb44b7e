# SPDX-License-Identifier: BSD-3-Clause
"""What ./test prints, and the sum that it ends with."""

import re
import threading
import time

from .counts import Counts

SHOWN_LINES = 60  # of the output of a program that failed
SHOWN_CHARACTERS = 400  # of one such line


def telling(output):
    """What of an output to show: its failed tests with what follows each, or else its end."""
    kept, on = [], False
    for line in output.splitlines():
        if re.match(r"(not )?ok\b|1\.\.\d|\w+: (ok|FAILED)\b", line):
            on = bool(re.match(r"not ok\b(?!.*# SKIP)|\w+: FAILED\b", line))
        if on:
            kept.append(line)
    lines = kept or output.splitlines()
    if len(lines) > SHOWN_LINES:
        lines = [f"... {len(lines) - SHOWN_LINES} lines before"] + lines[-SHOWN_LINES:]
    return lines


class Report:
    def __init__(self):
        self.suites = {}  # in the order in which they began
        self.lock = threading.Lock()
        self.start = time.monotonic()

    def say(self, text):
        with self.lock:
            print(f"[{time.monotonic() - self.start:5.0f} s] {text}", flush=True)

    def show(self, text):
        """Output of a long program, as it comes."""
        with self.lock:
            print(text, end="", flush=True)

    def count(self, suite, counts):
        with self.lock:
            self.suites.setdefault(suite, Counts()).add(counts)

    def program(self, suite, name, counts, outcome):
        """One program has ended."""
        self.count(suite, counts)
        self.say(f"{suite}/{name}: {counts} ({outcome.seconds:.1f} s)")
        if counts.failed:
            self.failure(f"{suite}/{name}", outcome.output, outcome.trouble())

    def failure(self, what, output, trouble):
        with self.lock:
            print(f"---- {what} failed" + (f": {trouble}" if trouble else ""))
            for line in telling(output):
                print(f"     {line[:SHOWN_CHARACTERS]}")
            print("----", flush=True)

    def finish(self):
        """Print the suites and the sum. Return: exit status."""
        total = Counts()
        print()
        for name, counts in self.suites.items():
            print(f"suite {name}: {counts}")
            total.add(counts)
        if total.passed + total.failed == 0:
            print("no test was run")
            total.failed += 1
        print(total, flush=True)
        return 1 if total.failed else 0
