# SPDX-License-Identifier: BSD-3-Clause
"""A few lines of TAP for tests of scripts: case_* methods of a class, each one test."""
import sys
import traceback


class Skip(Exception):
    """Text: why."""


def check(good, text):
    if not good:
        raise AssertionError(text)


def run(test):
    """Run every case_* method of @test, or those named on the command line. Return: exit status."""
    names = sys.argv[1:] or [name[5:] for name in vars(type(test)) if name.startswith("case_")]
    failed = 0
    for number, name in enumerate(names, 1):
        try:
            getattr(test, "case_" + name)()
            print(f"ok {number} - {name}", flush=True)
        except Skip as e:
            print(f"ok {number} - {name} # SKIP {e}", flush=True)
        except Exception as e:  # any trouble is a failed test, not the end of all
            failed += 1
            text = str(e) if isinstance(e, AssertionError) else traceback.format_exc()
            print(f"not ok {number} - {name}\n# " + text.replace("\n", "\n# "), flush=True)
    print(f"1..{len(names)}")
    return 1 if failed else 0
