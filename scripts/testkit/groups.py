# SPDX-License-Identifier: BSD-3-Clause
"""The groups of ./test: what each of them builds and runs."""

import concurrent.futures
import os
import shutil
import subprocess

from . import builds, counts, programs

# Sanitizers make programs slower, and their time limits longer.
SANITIZER_SLOWER = 8
SANITIZERS = {
    "asan": {
        # Loops over lists form a pointer to the object around the list's head: there is none, so
        # it is aligned by chance only.
        "options": ["-Db_sanitize=address,undefined", "-Dc_args=-fno-sanitize=alignment"],
        "env": {
            "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        },
    },
    "tsan": {
        "options": ["-Db_sanitize=thread"],
        "env": {"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:history_size=4"},
    },
}
TSAN_SUPPRESSIONS = "tests/tsan.supp"
# Programs whose promise is about what the whole machine has: alone, whatever meson says.
ALONE = ("hugepages",)
# Programs that use DPDK: neither it nor its huge pages can be instrumented.
NOT_SANITIZED = ("host-dpdk",)


def jobs():
    return len(os.sched_getaffinity(0))


# Programs that meson knows ------------------------------------------------------------------------

def run_meson_test(report, test, prefix=(), env=None, slower=1):
    outcome = programs.run([*prefix, *test.command], test.limit * slower,
                           {**test.env, **(env or {})}, test.cwd)
    reader = counts.tap if test.tap else (lambda _, status: counts.by_status(status))
    report.program(test.suite, test.name, reader(outcome.output, outcome.status), outcome)


def run_meson_tests(report, tests, **how):
    """Those that may run side by side first, then the others alone."""
    together = [test for test in tests if test.parallel and test.name not in ALONE]
    with concurrent.futures.ThreadPoolExecutor(jobs()) as pool:
        list(pool.map(lambda test: run_meson_test(report, test, **how), together))
    for test in tests:
        if test not in together:
            run_meson_test(report, test, **how)


def build(report, suite, *arguments):
    """Return: could it be built? A failure is a failed test of @suite."""
    try:
        text = builds.build(*arguments)
    except builds.BuildError as error:
        report.count(suite, counts.Counts(failed=1))
        report.failure(f"{suite}: build", str(error), "")
        return False
    for line in text.splitlines():
        report.say(line)
    return True


# Other programs -----------------------------------------------------------------------------------

def run_script(report, suite, command, limit, reader, show=False):
    """A program of the tree that is no test of meson."""
    outcome = programs.run([builds.path(command[0]), *command[1:]], limit,
                           cwd=builds.ROOT, show=report.show if show else None)
    report.program(suite, os.path.basename(command[0]), reader(outcome.output, outcome.status),
                   outcome)


def run_suites(report, name, command, limit):
    """A program that prints suite lines itself; they are shown at the end, with all others."""
    outcome = programs.run(
        [builds.path(command[0]), *command[1:]], limit, cwd=builds.ROOT,
        show=lambda line: None if counts.SUITE_LINE.match(line) else report.show(line))
    found = counts.suite_lines(outcome.output)
    for suite, result in found.items():
        report.count(suite, result)
    if not found or (outcome.status and not any(result.failed for result in found.values())):
        report.count(name, counts.Counts(failed=1))
        report.failure(command[0], "", outcome.trouble() or "no suite reported")


# Groups -------------------------------------------------------------------------------------------

def host(report):
    report.say("host: building build/")
    if not build(report, "host-build", "build"):
        return
    run_meson_tests(report, builds.tests("build"))
    run_script(report, "host-scripts", ["tests/scripts/check-scripts"], 120, counts.tap)
    run_script(report, "host-setup", ["tests/scripts/test_setup.py"], 120, counts.tap)
    run_script(report, "host-mainjob", ["tests/scripts/test_main_job.py"], 300, counts.tap)


def dpdk(report):
    report.say("dpdk: building build/")
    if not build(report, "host-build", "build"):
        return
    driver = builds.path("build/pmd-glue/dpdk/librte_ioas.so")
    run_script(report, "host-dpdk-net",
               ["tests/dpdk/net_test.py", "--driver", driver], 1200, counts.cases)
    run_script(report, "host-dpdk-versions", ["tests/scripts/check-dpdk-versions"], 600, counts.tap)


def sanitizer_environment(kind):
    env = dict(SANITIZERS[kind]["env"])
    suppressions = builds.path(TSAN_SUPPRESSIONS)
    if kind == "tsan" and os.path.exists(suppressions):
        env["TSAN_OPTIONS"] += f":suppressions={suppressions}"
    return env


def fixed_addresses():
    """gcc 12's ThreadSanitizer cannot live with many bits of address randomisation."""
    prefix = ["setarch", "-R"]
    if shutil.which("setarch") and subprocess.run([*prefix, "true"], check=False,
                                                  stderr=subprocess.DEVNULL).returncode == 0:
        return prefix
    return []


def sanitize_with(report, kind):
    folder = f"build-{kind}"
    report.say(f"sanitize: building {folder}/")
    # Warnings that only the instrumented code causes are no reason to stop.
    options = [*SANITIZERS[kind]["options"], "-Db_lundef=false", "-Dwerror=false"]
    suite = f"host-{kind}-build"
    if not build(report, suite, folder, options, ["build.ninja"]):
        return
    tests = []
    for test in builds.tests(folder):
        target = builds.own_program(folder, test)
        if target and not test.suite.startswith(NOT_SANITIZED):
            test.suite = test.suite.replace("host-", f"host-{kind}-", 1)
            tests.append((target, test))
    if not build(report, suite, folder, options, sorted({target for target, _ in tests})):
        return
    run_meson_tests(report, [test for _, test in tests],
                    prefix=fixed_addresses() if kind == "tsan" else (),
                    env=sanitizer_environment(kind), slower=SANITIZER_SLOWER)


def sanitize(report):
    for kind in SANITIZERS:
        sanitize_with(report, kind)


def bench(report):
    report.say("bench: building and running the quick benchmarks")
    run_suites(report, "bench-quick", ["tests/bench/run-bench-test"], 1200)
    run_script(report, "bench-compare", ["tests/bench/test_compare.py"], 120, counts.tap)
    run_script(report, "bench-perf", ["tests/bench/test_perf.py"], 600, counts.tap)
    run_suites(report, "bench-tools", ["tests/bench/test_tools.py"], 600)


def lab(report):
    report.say("lab: emulated machines (their kernels are built the first time: 20 minutes)")
    run_suites(report, "lab", ["tests/lab/all"], 4800)


GROUPS = {"host": host, "dpdk": dpdk, "sanitize": sanitize, "bench": bench, "lab": lab}
