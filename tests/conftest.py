# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for tests with a running switch, and the check that a session leaves nothing behind."""

import glob
import os
import signal
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from switch import Switch  # noqa: E402

OURS = ("mshswitch", "qemu-system", "dpdk-testpmd", "msh-")  # programs that must not outlive the session
MARK = "MSH_TEST_SESSION=%d" % os.getpid()  # in the environment of all that this session starts


def pytest_configure(config):
    config.addinivalue_line("markers", "asan: also run with the switch of the sanitizer build")
    os.environ.update([MARK.split("=")])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))  # so that what cleans up runs
    config.msh_before = traces()


@pytest.fixture
def switch_factory():
    """Switch, with the same arguments; all that it makes are stopped, with the exit checks, after the test."""
    made = []

    def make(**arguments):
        made.append(Switch(**arguments))
        return made[-1]

    yield make
    errors = []
    for switch in reversed(made):
        try:
            # One that the test itself stopped or killed has nothing more to show.
            if switch in Switch.live and switch.process.returncode is None:
                switch.stop()
        except AssertionError as error:
            errors.append(str(error))
        finally:
            switch.close()
    assert not errors, "\n".join(errors)


@pytest.fixture
def switch(switch_factory):
    """A started switch without ports."""
    return switch_factory()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The logs of running switches belong to the report of a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for switch in Switch.live:
            report.sections.append(("log of mshswitch in " + switch.dir, switch.log()))


def traces():
    """What sessions may leave behind: directories, shared memory, namespaces."""
    found = glob.glob("/tmp/msh-*") + glob.glob("/dev/shm/msh-*") + glob.glob("/run/netns/msh-*")
    return set(found)


def read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def processes():
    """(pid, command line) of those that this session started and that must not outlive it."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        words = read(path + "/cmdline").decode(errors="replace").split("\0")
        if MARK.encode() in read(path + "/environ").split(b"\0") and os.path.basename(words[0]).startswith(OURS):
            found.append((int(os.path.basename(path)), " ".join(words).strip()))
    return found


def is_alone():
    """No other pytest runs: only then can new files be told to be ours."""
    family, pid = set(), os.getpid()
    while pid > 1:
        family.add(pid)
        pid = int(read("/proc/%d/stat" % pid).rpartition(b")")[2].split()[1:2][0])
    return not any(b"pytest" in read(path + "/cmdline") and int(path.split("/")[2]) not in family
                   for path in glob.glob("/proc/[0-9]*"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    for switch in list(Switch.live):
        switch.close()
    end = time.monotonic() + 3  # what was told to end may need a moment
    while processes() and time.monotonic() < end:
        time.sleep(0.1)
    left = ["process %d: %s" % process for process in processes()]
    if is_alone():
        left += sorted(traces() - session.config.msh_before)
    if left:
        session.config.msh_left = left
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for thing in getattr(config, "msh_left", []):
        terminalreporter.write_line("LEFT BEHIND: " + thing, red=True)
