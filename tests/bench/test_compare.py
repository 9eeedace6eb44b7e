#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/compare on results that are made up: what is a regression, what is noise, what is no result.

usage: test_compare.py [CASE...]
"""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/scripts"))

import tap  # noqa: E402
from tap import check  # noqa: E402

NOISE = (-1, 0, 1, 0, -1, 1, 0)  # of seven repetitions; the median distance from the median is 1


def row(name, ns, noise=0.0, **more):
    """A row of a result: its repetitions at @ns, give or take @noise; and the median, which is not read."""
    runs = [dict({"run_name": name, "run_type": "iteration", "ns": ns + 1 + step * noise,
                  "ours_ns": ns + step * noise}, **more) for step in NOISE]
    return runs + [{"run_name": name, "run_type": "aggregate", "aggregate_name": "cv", "ns": float("nan")}]


def result(*rows, **context):
    return {"context": dict({"cpu": "one", "kernel": "six"}, **context), "benchmarks": sum(rows, [])}


def peer(ns, mad=0.0):
    return {"peer_ns": ns, "peer_mad_ns": mad, "label": "peer them", "floor_ns": 1.0, "floor_mad_ns": 0.0}


class Compare:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def path(self, name, content):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def compare(self, old, new, *options):
        return subprocess.run([ROOT / "bench/compare", self.path("old.json", old), self.path("new.json", new),
                               *options], capture_output=True, text=True, timeout=60, check=False)

    def judge(self, old, new, verdict, *options):
        """Both are one row; it is @verdict."""
        done = self.compare(result(old), result(new), *options)
        line = next((line for line in done.stdout.splitlines() if line.startswith("map/one")), "")
        check(line.split()[-1:] == [verdict], f"not {verdict}: {done.stdout}{done.stderr}")
        wanted = 1 if verdict == "REGRESSED" else 0
        check(done.returncode == wanted, f"exit status {done.returncode}, {wanted} expected")
        return line

    def refuse(self, content, field):
        """A bad file is told by name and field, whichever of the two it is."""
        good = result(row("map/one", 10))
        for old, new, name in ((content, good, "old.json"), (good, content, "new.json")):
            done = self.compare(old, new)
            check(done.returncode == 2, f"exit status {done.returncode}: {done.stdout}{done.stderr}")
            check(name in done.stderr and field in done.stderr, f"{field} not named: {done.stderr}")
            check(len(done.stderr.splitlines()) == 1, done.stderr)

    # Verdicts -------------------------------------------------------------------------------------

    def case_regression(self):
        self.judge(row("map/one", 10, 0.1), row("map/one", 12, 0.1), "REGRESSED")

    def case_better(self):
        self.judge(row("map/one", 12, 0.1), row("map/one", 10, 0.1), "better")

    def case_noise_of_either(self):
        self.judge(row("map/one", 10, 1.0), row("map/one", 12, 0.1), "same")
        self.judge(row("map/one", 10, 0.1), row("map/one", 12, 1.0), "same")
        self.judge(row("map/one", 10, 1.0), row("map/one", 12, 0.1), "REGRESSED", "--spread", "1")

    def case_threshold(self):
        self.judge(row("map/one", 10), row("map/one", 10.4), "same")
        self.judge(row("map/one", 10), row("map/one", 10.4), "REGRESSED", "--threshold", "3")

    def case_slower_machine(self):
        """Twice the time, but of the peer as well: the machine, not the row."""
        old, new = row("map/one", 10, **peer(20.0)), row("map/one", 20, **peer(40.0))
        check("x peer" in self.judge(old, new, "same"), "not judged by its peer")
        self.judge(old, new, "REGRESSED", "--absolute")

    def case_faster_machine(self):
        """The same time, and the peer takes half of its own."""
        self.judge(row("map/one", 10, **peer(20.0)), row("map/one", 10, **peer(10.0)), "REGRESSED")

    def case_noise_of_peer(self):
        self.judge(row("map/one", 10, **peer(20.0, 8.0)), row("map/one", 10, **peer(10.0)), "same")

    def case_floor_where_no_peer(self):
        floor = {"floor_ns": 2.0, "floor_mad_ns": 0.0}
        line = self.judge(row("map/one", 10, **floor), row("map/one", 10, **peer(20.0)), "REGRESSED")
        check("x floor" in line, "the floor is what both have")

    def case_other_peer(self):
        other = dict(peer(50.0), label="peer others")
        line = self.judge(row("map/one", 10, **peer(20.0)), row("map/one", 10, **other), "same")
        check("x floor" in line, "two peers are not compared")

    def case_less_than_harness(self):
        """Nothing is left when the harness is taken off: both with it."""
        self.judge(row("map/one", -0.5), row("map/one", 0.5), "REGRESSED")
        self.judge(row("map/one", 0.5), row("map/one", -0.5), "better")

    # Rows -----------------------------------------------------------------------------------------

    def case_missing_and_new(self):
        old, new = result(row("a/x", 1), row("a/y", 1)), result(row("a/x", 1), row("a/z", 1))
        done = self.compare(old, new)
        check(done.returncode == 0, done.stdout + done.stderr)
        check("rows: 1 same, 1 missing, 1 new" in done.stdout, done.stdout)
        check(self.compare(old, new, "--all-rows").returncode == 1, "--all-rows lets it pass")
        check(self.compare(old, new, "--all-rows", "--filter", "x$").returncode == 0, "not asked for")

    def case_none_in_both(self):
        done = self.compare(result(row("a/y", 1)), result(row("a/z", 1)))
        check(done.returncode == 2 and "no row is in both" in done.stderr, done.stderr)

    def case_row_fails(self):
        wrong = [{"run_name": "map/one", "run_type": "iteration", "error_occurred": True,
                  "error_message": "lost"}]
        done = self.compare(result(row("map/one", 1)), result(wrong))
        check(done.returncode == 1 and "FAILED: lost" in done.stdout, done.stdout)
        done = self.compare(result(wrong), result(row("map/one", 1)))
        check(done.returncode == 0 and "fixed" in done.stdout, done.stdout)

    def case_other_machine(self):
        done = self.compare(result(row("a/x", 1)), result(row("a/x", 1), cpu="two"))
        check("note: cpu: one | two" in done.stdout, done.stdout)

    # Bad input ------------------------------------------------------------------------------------

    def case_not_json(self):
        self.refuse("{", "not JSON")
        self.refuse("[]", "not an object")
        self.refuse("", "not JSON")

    def case_fields(self):
        good = result(row("map/one", 10, **peer(20.0)))
        for path, value, field in (
                (["context"], [], "result.context"), (["benchmarks"], {}, "result.benchmarks"),
                (["benchmarks", 3], 7, "benchmarks[3]"),
                (["benchmarks", 3, "run_name"], None, "benchmarks[3].run_name"),
                (["benchmarks", 3, "run_type"], 1, "benchmarks[3].run_type"),
                (["benchmarks", 3, "ns"], "fast", "benchmarks[3].ns"),
                (["benchmarks", 3, "ours_ns"], True, "benchmarks[3].ours_ns"),
                (["benchmarks", 3, "peer_ns"], float("nan"), "benchmarks[3].peer_ns")):
            for drop in (False, True):
                bad = copy.deepcopy(good)
                place = bad
                for key in path[:-1]:
                    place = place[key]
                if not drop:
                    place[path[-1]] = value
                elif path[-1] == 3:
                    continue
                else:
                    del place[path[-1]]
                    field = field if path[-1] != "peer_ns" else "peer_ns not in each"
                self.refuse(bad, field)

    def case_too_few(self):
        few = result(row("map/one", 10)[:2])
        self.refuse(few, "row map/one: 2 repetitions")

    def case_command_line(self):
        good = result(row("map/one", 10))
        for options in (["--threshold", "-1"], ["--spread", "nan"], ["--filter", "("], ["--more"]):
            done = self.compare(good, good, *options)
            check(done.returncode == 2 and options[0] in done.stderr, f"{options}: {done.stderr}")
        done = subprocess.run([ROOT / "bench/compare", self.folder / "none", self.folder / "none"],
                              capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 2 and "No such file" in done.stderr, done.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.exit(tap.run(Compare(place)))
