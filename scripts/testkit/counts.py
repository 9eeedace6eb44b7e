# SPDX-License-Identifier: BSD-3-Clause
"""How many tests passed, failed and were skipped, and how to read that from a program's output."""

import dataclasses
import re

EXIT_SKIP = 77


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def total(self):
        return self.passed + self.failed + self.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def by_status(status):
    """A program that reports nothing but its exit status is one test."""
    if status == EXIT_SKIP:
        return Counts(skipped=1)
    return Counts(passed=1) if status == 0 else Counts(failed=1)


def tap(output, status):
    """Count TAP lines. What was planned and never reported has failed, and so has a program whose
    exit status is not 0 though no test of it failed (a crash, a time-out, a sanitizer's report)."""
    counts = Counts()
    planned = 0
    for line in output.splitlines():
        plan = re.match(r"1\.\.(\d+)\b(.*)", line)
        if plan:
            planned += int(plan[1])
            if plan[1] == "0" and "skip" in plan[2].lower():
                return Counts(skipped=1)
        result = re.match(r"(not )?ok\b(.*)", line)
        if not result:
            continue
        # cmocka reports a skipped test as "not ok N # SKIP name".
        if re.search(r"#\s*(skip|todo)\b", result[2], re.IGNORECASE):
            counts.skipped += 1
        elif result[1]:
            counts.failed += 1
        else:
            counts.passed += 1
    if counts.total() == 0 and status == EXIT_SKIP:
        return Counts(skipped=1)
    counts.failed += max(0, planned - counts.total())
    if counts.failed == 0 and (status != 0 or counts.total() == 0):
        counts.failed = 1
    return counts


def cases(output, status):
    """Count lines "NAME: ok" and "NAME: FAILED", as tests/dpdk/net_test.py prints them."""
    counts = Counts(passed=len(re.findall(r"^\w+: ok\b", output, re.MULTILINE)),
                    failed=len(re.findall(r"^\w+: FAILED\b", output, re.MULTILINE)))
    if status == EXIT_SKIP and counts.total() == 0:
        return Counts(skipped=1)
    if counts.failed == 0 and (status != 0 or counts.total() == 0):
        counts.failed = 1
    return counts


SUITE_LINE = re.compile(r"^suite ([\w.-]+): (\d+) passed, (\d+) failed, (\d+) skipped\s*$")


def suite_lines(output):
    """{suite: Counts} of a program that prints lines as ./test itself does."""
    found = {}
    for line in output.splitlines():
        match = SUITE_LINE.match(line)
        if match:
            found.setdefault(match[1], Counts()).add(Counts(*map(int, match.groups()[1:])))
    return found
