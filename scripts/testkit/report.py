# SPDX-License-Identifier: BSD-3-Clause
"""What ./test prints, and the sum that it ends with."""

import threading
import time

from .counts import Counts

SHOWN_LINES = 60  # of the output of a program that failed


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
        lines = output.splitlines()
        with self.lock:
            print(f"---- {what} failed" + (f": {trouble}" if trouble else ""))
            if len(lines) > SHOWN_LINES:
                print(f"     ... {len(lines) - SHOWN_LINES} lines before")
            for line in lines[-SHOWN_LINES:]:
                print(f"     {line}")
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
