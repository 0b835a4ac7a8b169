#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""All tests, in the order in which they are likely to fail. `./dev test` calls it.

    run.py           everything; the last line is "N passed, N failed[, N skipped]"
    run.py PATTERN   only the unit tests and the pytest tests whose name has PATTERN, on the plain build

A group that runs no test counts as a failure, and in CI (environment CI) a skipped test does too."""

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"  # the one that sees Debian's scapy and pytest
SANITIZE = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
FUZZ_SECONDS = 20


def run(command, output=True, **environment):
    """Exit status; what it says goes to the terminal, or only when it fails."""
    environment = dict(os.environ, **environment)
    if output:
        return subprocess.run(command, cwd=ROOT, env=environment).returncode
    result = subprocess.run(command, cwd=ROOT, env=environment, text=True, errors="replace",
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        print(result.stdout, end="", flush=True)
    return result.returncode


def junit(path, name):
    """(passed, failed, skipped) of a JUnit file; names what failed or was skipped."""
    counts = [0, 0, 0]
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        kind = 1 if case.find("failure") is not None or case.find("error") is not None else 0
        skipped = case.find("skipped")
        if skipped is not None and skipped.get("type") != "pytest.xfail":
            kind = 2
            print("   skipped: %s: %s" % (case.get("name"), skipped.get("message")))
        if kind == 1:
            print("   failed: %s: %s" % (name, case.get("name")))
        counts[kind] += 1
    return tuple(counts)


def build(directory, compiler, options):
    """Warnings are errors in all builds."""
    if not os.path.exists("%s/%s/build.ninja" % (ROOT, directory)):
        status = run(["meson", "setup", directory] + options, output=False, CC=compiler)
        if status != 0:
            return 0, 1, 0
    return (0, 1, 0) if run(["ninja", "-C", directory], output=False) else (1, 0, 0)


def unit(directory, pattern=""):
    names = []
    if pattern:
        listed = subprocess.run(["meson", "test", "-C", directory, "--list"], cwd=ROOT, text=True, stdout=subprocess.PIPE)
        tests = [line.split(" / ")[-1].strip() for line in listed.stdout.splitlines() if " / " in line]
        names = [name for name in tests if pattern in name]
        if not names:
            return 0, 0, 0
    report = "%s/%s/meson-logs/testlog.junit.xml" % (ROOT, directory)
    if os.path.exists(report):
        os.unlink(report)
    status = run(["meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs"] + names, output=False)
    counts = junit(report, "unit") if os.path.exists(report) else (0, 0, 0)
    # A crash is no test case of the report.
    return (counts[0], max(counts[1], 1), counts[2]) if status else counts


def fuzz():
    return command(["tests/fuzz/run", "build-fuzz"], FUZZ_SECONDS=str(FUZZ_SECONDS))


def command(words, **environment):
    """A script whose lines "ok NAME" and "FAIL NAME" are its tests."""
    result = subprocess.run(words, cwd=ROOT, env=dict(os.environ, **environment), text=True, errors="replace",
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(result.stdout, end="", flush=True)
    passed = len(re.findall(r"^ok ", result.stdout, re.M))
    failed = len(re.findall(r"^FAIL ", result.stdout, re.M))
    return passed, failed or int(result.returncode != 0), 0


def pytest(paths, directory="build", options=()):
    report = "%s/%s/%s.junit.xml" % (ROOT, directory, os.path.basename(paths))
    if os.path.exists(report):
        os.unlink(report)
    status = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", "--junitxml=" + report,
                  *options, paths], MSH_BUILD="%s/%s" % (ROOT, directory), PYTHONDONTWRITEBYTECODE="1")
    if status == 5:  # nothing was selected
        return 0, 0, 0
    if not os.path.exists(report):
        return 0, 1, 0
    counts = junit(report, paths)
    return (counts[0], max(counts[1], 1), counts[2]) if status else counts


EVERYTHING = [
    ("build with gcc", lambda: build("build", "gcc", [])),
    ("unit tests", lambda: unit("build")),
    ("the guest image", lambda: (0, 1, 0) if run(["guest/image/build"], output=False) else (1, 0, 0)),
    ("benchmarks themselves", lambda: pytest("tests/bench")),
    ("end to end", lambda: pytest("tests/e2e")),
    ("virtual machines", lambda: pytest("tests/vm")),
    ("NICs", lambda: pytest("tests/nic")),
    ("build with clang and fuzzers", lambda: build("build-fuzz", "clang", ["-Dfuzz=true"])),
    ("lint", lambda: command(["tests/lint/run"])),
    ("build with sanitizers", lambda: build("build-asan", "gcc", SANITIZE)),
    ("unit tests, sanitizers", lambda: unit("build-asan")),
    ("end to end, sanitizers", lambda: pytest("tests/e2e", "build-asan", ["-m", "asan"])),
    ("fuzz, %d s each" % FUZZ_SECONDS, fuzz),
]


def selection(pattern):
    return [
        ("build", lambda: build("build", "gcc", [])),
        ("unit tests", lambda: unit("build", pattern)),
        ("benchmarks themselves", lambda: pytest("tests/bench", options=["-k", pattern])),
        ("end to end", lambda: pytest("tests/e2e", options=["-k", pattern])),
        ("virtual machines", lambda: pytest("tests/vm", options=["-k", pattern])),
        ("NICs", lambda: pytest("tests/nic", options=["-k", pattern])),
    ]


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    total, start = [0, 0, 0], time.monotonic()
    for name, group in selection(pattern) if pattern else EVERYTHING:
        began = time.monotonic()
        print("== " + name, flush=True)
        counts = group()
        if sum(counts) == 0 and not pattern:
            print("   no test ran")
            counts = (0, 1, 0)
        print("   %d passed, %d failed, %d skipped in %.0f s" % (*counts, time.monotonic() - began), flush=True)
        total = [a + b for a, b in zip(total, counts)]
    if os.environ.get("CI") and total[2]:
        print("skipped tests are failures in CI")
        total[1] += total[2]
        total[2] = 0
    if pattern and total[0] <= 1 and not total[1]:
        print("no test has %r in its name" % pattern)
        total[1] = 1
    print("== %.0f s" % (time.monotonic() - start))
    print("%d passed, %d failed" % tuple(total[:2]) + (", %d skipped" % total[2] if total[2] else ""))
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
