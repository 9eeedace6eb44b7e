#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Suite bench-tools: the programs of bench/ beside the benchmarks themselves.

Last line: suite bench-tools: N passed, N failed, N skipped
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
counts = {"ok": 0, "FAIL": 0, "skip": 0}


def report(word, text):
    counts[word] += 1
    print(f"{word}: {text}", flush=True)


def check(condition, text):
    report("ok" if condition else "FAIL", text)
    return condition


def run(program, *arguments, limit=120):
    return subprocess.run([ROOT / "bench" / program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=limit, check=False, stdin=subprocess.DEVNULL)


def promises(done):
    """Lines 'ok: ...' and 'FAIL: ...' that a program has printed itself."""
    found = [line.split(": ", 1) for line in done.stdout.splitlines() if line.startswith(("ok: ", "FAIL: "))]
    for word, text in found:
        report(word, text)
    check(found and done.returncode == any(word == "FAIL" for word, _ in found),
          f"exit status {done.returncode} agrees with {len(found)} promises "
          f"{'' if found else done.stderr[-400:]}")


def plot(result, work):
    target = work / "plot.svg"
    done = run("plot", result, target)
    if done.returncode == 77:
        report("skip", done.stderr.strip())
        return
    check(done.returncode == 0, f"{result.name} can be drawn {done.stderr}")
    picture = xml.etree.ElementTree.parse(target)
    drawn = {text for element in picture.iter() for text in [element.text or ""]}
    wanted = {cell["policy"] for cell in json.loads(result.read_text())}
    check(wanted <= drawn, f"and every policy is named in it {sorted(wanted - drawn)}")
    (work / "not.json").write_text("{}")
    check(run("plot", work / "not.json", target).returncode == 2, "what is no result is refused")


def test_policy(work):
    first, second = work / "policy.json", work / "policy2.json"
    promises(run("policy", "--quick", "--json", first))
    run("policy", "--quick", "--json", second)
    pairs = list(zip(json.loads(first.read_text()), json.loads(second.read_text())))
    far = [a for a, b in pairs for key in ("reads", "misses", "invalidations")
           if abs(a[key] - b[key]) > 0.01 * a[key] + 0.001]
    check(pairs and not far, f"counts of two runs agree within 1 % {far}")
    plot(first, work)


def test_collapse(work):
    first, second = work / "simulated.json", work / "simulated2.json"
    promises(run("simulate", "--json", first))
    run("simulate", "--json", second)
    check(first.read_text() == second.read_text(), "virtual time is the same in two runs")
    plot(first, work)
    promises(run("collapse", "--quick", "--json", work / "collapse.json"))
    check(json.loads((work / "collapse.json").read_text()), "what was measured is in the JSON")


def main():
    os.environ.setdefault("LC_ALL", "C")
    with tempfile.TemporaryDirectory() as folder:
        for test in (test_policy, test_collapse):
            try:
                test(pathlib.Path(folder))
            except (OSError, ValueError, KeyError, subprocess.TimeoutExpired,
                    xml.etree.ElementTree.ParseError) as error:
                report("FAIL", f"{test.__name__}: {error!r}")
    print(f"suite bench-tools: {counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
