#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""TAP: check one Promela model with spin: check_model.py MODEL.pml

The model's opening comment says what is done with it, one line each:

  run NAME [-D...]                     no assertion fails, no thread hangs, in any interleaving
  live NAME [-D...]                    the model's ltl formula holds under weak fairness
  mutant NAME [-D...]: TEXT            without one step of the protocol: the same search must end
  mutant live NAME [-D...]: TEXT       with an error that contains TEXT (-DMUTANT_NAME is added)
  limit NAME [-D...]: TEXT             known and documented: is found as a mutant is

Searches are exhaustive, within 1 GiB. Every statement of the model is reached in one of the runs,
unless its line says "not reached"; every MUTANT_ in the model has its line.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

MEGABYTES = 1024
DEPTH = 1500000
SECONDS = 240
KINDS = "run|live|mutant live|mutant|limit"
LINE = re.compile(rf"^ \* ({KINDS}) ([\w-]+)((?: -D\S+)*?)(?:: (.+))?$", re.MULTILINE)


class Failure(Exception):
    pass


class Search:
    """One verifier: generated, compiled, run."""

    def __init__(self, model, kind, name, defines, wanted):
        self.kind = kind
        self.name = name
        self.wanted = wanted
        self.defines = defines.split()
        if kind.startswith("mutant"):
            self.defines.append("-DMUTANT_" + name)
        self.live = kind.endswith("live")
        self.finds = kind.startswith(("mutant", "limit"))
        self.model = model
        self.output = ""

    def command(self, folder, words):
        done = subprocess.run(words, cwd=folder, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
        return done.returncode, done.stdout

    def build(self, folder):
        shutil.copy(self.model, os.path.join(folder, "model.pml"))
        flags = ["-DNFAIR=2"] if self.live else ["-DSAFETY", "-DNOCLAIM"]
        optimize = "-O1" if self.finds else "-O2"
        for words in (["spin", *self.defines, "-a", "model.pml"],
                      ["gcc", optimize, "-w", f"-DMEMLIM={MEGABYTES}", *flags, "-o", "pan",
                       "pan.c"]):
            status, output = self.command(folder, words)
            if status or "pan.c" not in os.listdir(folder) or "rror" in output:
                raise Failure(f"{' '.join(words)}\n{output}")

    def run(self):
        with tempfile.TemporaryDirectory(prefix="ioas-model-") as folder:
            self.build(folder)
            begin = time.monotonic()
            _, self.output = self.command(
                folder, ["./pan", f"-m{DEPTH}", *(["-a", "-f"] if self.live else [])])
            self.seconds = time.monotonic() - begin
            self.judge(folder)

    def judge(self, folder):
        found = re.search(r"depth reached (\d+), errors: (\d+)", self.output)
        if not found:
            raise Failure("the verifier did not finish:\n" + self.output)
        for word in ("max search depth too small", "out of memory", "memory limit",
                     "Search not completed"):
            # An error ends the search early; nothing else may.
            if word in self.output and not (int(found[2]) and word == "Search not completed"):
                raise Failure(f"not exhaustive: {word}\n{self.output}")
        if self.finds and (not int(found[2]) or self.wanted not in self.first_error()):
            raise Failure(f"should find '{self.wanted}', found '{self.first_error()}'")
        if not self.finds and int(found[2]):
            _, trail = self.command(folder, ["./pan", "-r"])
            raise Failure(f"{self.first_error()}\n" + "\n".join(trail.splitlines()[-120:]))

    def first_error(self):
        found = re.search(r"^pan:\d+: (.*)$", self.output, re.MULTILINE)
        return found[1] if found else "nothing"

    def unreached(self):
        """{(proctype, line)} that no state of the search was in."""
        lines, where = set(), ""
        for line in self.output.splitlines():
            start = re.match(r"unreached in (\w+ \w+)", line)
            state = re.match(r"\tmodel\.pml:(\d+), state", line)
            where = start[1] if start else where
            if state and where.startswith(("proctype", "init")):
                lines.add((where, int(state[1])))
        return lines

    def summary(self):
        states = re.search(r"(\d+) states, stored", self.output)
        depth = re.search(r"depth reached (\d+)", self.output)
        memory = re.search(r"([\d.]+)\ttotal actual memory", self.output)
        text = f"{states[1]} states, depth {depth[1]}, "
        text += f"{float(memory[1]):.0f} MB, {self.seconds:.1f} s"
        return f"{text}: {self.first_error()}" if self.finds else text


class Report:
    def __init__(self):
        self.number = 0

    def line(self, ok, name, note="", suffix=""):
        self.number += 1
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}{suffix}")
        for text in note.splitlines():
            print(f"# {text}")
        sys.stdout.flush()


def check_text(report, text, searches):
    named = set(re.findall(r"\bMUTANT_(\w+)", text.split("*/", 1)[1]))
    listed = {search.name for search in searches if search.kind.startswith("mutant")}
    report.line(named == listed, "every mutant is tried", " ".join(sorted(named ^ listed)))


def check_reached(report, text, searches):
    lines = text.splitlines()
    sets = [search.unreached() for search in searches if search.kind == "run"]
    missed = [f"{where}, line {line}: {lines[line - 1].strip()}"
              for where, line in sorted(set.intersection(*sets))
              if "not reached" not in lines[line - 1]]
    report.line(not missed, "every statement is reached", "\n".join(missed))


def main():
    model = os.path.abspath(sys.argv[1])
    name = os.path.splitext(os.path.basename(model))[0]
    missing = [tool for tool in ("spin", "gcc") if not shutil.which(tool)]
    if missing:
        print(f"1..0 # SKIP {' and '.join(missing)} not installed "
              f"(apt-get install {' '.join(missing)})")
        return
    with open(model, encoding="utf-8") as file:
        text = file.read()
    searches = [Search(model, *found) for found in LINE.findall(text)]
    report = Report()
    failed = False
    for search in searches:
        kind = search.kind.split()[0]
        try:
            search.run()
        except (Failure, subprocess.TimeoutExpired) as error:
            failed = failed or kind == "run"
            report.line(False, f"{name}: {kind} {search.name}", str(error))
            continue
        report.line(True, f"{name}: {kind} {search.name}", search.summary())
    check_text(report, text, searches)
    if not failed:
        check_reached(report, text, searches)
    print(f"1..{report.number}")


if __name__ == "__main__":
    main()
