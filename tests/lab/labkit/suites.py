# SPDX-License-Identifier: BSD-3-Clause
"""What the lab's suites have in common: their command line, their exit status, and the lines with
their results, which ./test adds up."""

import argparse
import signal
import sys
from dataclasses import dataclass
from typing import Callable

from . import debian
from .cache import LabError, drop_unused, say
from .runner import EXIT_SKIP

LONGEST = 4     # programs that are named with the time of a machine


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass
class Suite:
    """A suite runs once for each of `names`: machines, mostly."""
    prog: str
    description: str
    prefix: str                     # of the names in its result lines
    names: list
    prepare: Callable               # names: makes all that they need
    run: Callable                   # name, options: Counts
    add_options: Callable = None    # parser: more options

    def arguments(self):
        parser = argparse.ArgumentParser(
            prog=self.prog, description=self.description,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--prepare", action="store_true",
                            help="only fetch and build what is needed")
        if self.add_options:
            self.add_options(parser)
        parser.add_argument("name", nargs="*")
        options = parser.parse_args()
        for name in options.name:
            if name not in self.names:
                parser.error(f"{name}: there are {', '.join(self.names)}")
        return options

    def run_all(self):
        """Return: exit status."""
        options = self.arguments()
        chosen = options.name or list(self.names)
        debian.install_host_packages()
        self.prepare(chosen)
        if options.prepare:
            drop_unused()
            return 0
        results = {}
        for name in chosen:
            try:
                results[name] = self.run(name, options)
            except LabError as error:
                say(f"{name}: {error}")
                results[name] = Counts(failed=1)
        for name, counts in results.items():
            print(f"suite {self.prefix}-{name}: {counts.passed} passed, {counts.failed} failed, "
                  f"{counts.skipped} skipped", flush=True)
        return int(any(counts.failed for counts in results.values()))


def main(suite):
    """Ends the process. QEMU ends with it, whatever ends it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        sys.exit(suite.run_all())
    except LabError as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def count(name, outcome, may_skip):
    """Counts the programs of a boot. Only those of `may_skip` may be skipped."""
    tests = outcome.tests
    skipped = sum(test.status == EXIT_SKIP and test.name in may_skip and not test.trouble
                  for test in tests)
    passed = sum(test.status == 0 and not test.trouble for test in tests)
    counts = Counts(passed, len(tests) - passed - skipped, skipped)
    say_outcome(name, outcome, counts)
    return counts


def say_outcome(name, outcome, counts):
    """What went wrong, and the time. Trouble outside any program counts as well."""
    if outcome.reason:
        print(outcome.last_messages(), end="", file=sys.stderr)
        say(f"{name}: {outcome.reason}")
        if outcome.status != 1:
            counts.failed = max(counts.failed, 1)
    longest = sorted(outcome.tests, key=lambda test: -test.seconds)[:LONGEST]
    say(f"{name}: {outcome.seconds:.0f} s, the longest: "
        + ", ".join(f"{test.name} {test.seconds:.1f} s" for test in longest))
