# SPDX-License-Identifier: BSD-3-Clause
"""Build folders: configure, build, and the list of tests that meson knows."""

import dataclasses
import json
import os
import subprocess

from . import programs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_LIMIT = 1500


class BuildError(Exception):
    """Text: the end of the build's output."""


@dataclasses.dataclass
class MesonTest:
    suite: str
    name: str
    command: list
    env: dict
    cwd: str
    limit: int
    parallel: bool
    tap: bool


def path(folder):
    return os.path.join(ROOT, folder)


def build(folder, options=(), targets=()):
    outcome = programs.run(
        [os.path.join(ROOT, "scripts/build-tree"), path(folder), *options, *targets],
        BUILD_LIMIT, show=None)
    if outcome.status != 0:
        raise BuildError(f"{outcome.output}{outcome.trouble()}")
    return outcome.output


def tests(folder):
    """Tests of a configured build folder whose suite is named host-*."""
    text = subprocess.run(["meson", "introspect", "--tests", path(folder)], check=True,
                          stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL).stdout
    found = []
    for test in json.loads(text):
        suites = [name.split(":")[-1] for name in test["suite"]]
        suite = next((name for name in suites if name.startswith("host-")), None)
        if suite:
            # Arguments that are built files are named as seen from the build folder.
            found.append(MesonTest(suite, test["name"], test["cmd"], test["env"],
                                   test["workdir"] or path(folder), test["timeout"],
                                   test["is_parallel"], test["protocol"] == "tap"))
    return found


def own_program(folder, test):
    """The ninja target of a test that is a program of this build; None for scripts."""
    relative = os.path.relpath(test.command[0], path(folder))
    return None if relative.startswith("..") else relative
