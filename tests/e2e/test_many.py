# SPDX-License-Identifier: BSD-3-Clause
"""256 VMs on one switch: what the idle ones cost, and how soon a new one is served."""

import contextlib
import os
import re
import statistics
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from frontend import Frontend  # noqa: E402
from switch import Switch  # noqa: E402

VMS = 256
BROADCAST = b"\xff" * 6


def mac(number):
    return bytes([2, 0, 0, 0, number >> 8, number & 0xff])


def frame(source, target=BROADCAST):
    return target + mac(source) + b"\x88\xb5" + bytes(50)


def add(switch, number):
    path = "%s/%d.sock" % (switch.dir, number)
    switch.ctl("port add p%d vhost %s" % (number, path))
    switch.ctl("vm add v%d port p%d mac %s" % (number, number, mac(number).hex(":")))
    return path


def resident(switch):
    with open("/proc/%d/status" % switch.pid) as stream:
        return int(re.search(r"VmRSS:\s+(\d+)", stream.read()).group(1)) * 1024


@pytest.fixture(scope="module")
def many():
    """So many guests, all attached."""
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(Switch())
        first = stack.enter_context(Frontend(add(switch, 1)))
        first.enable()
        switch.wait_for(lambda: switch.port("p1")["state"] == "up", 5)
        before = resident(switch)
        guests = [first]
        for number in range(2, VMS + 1):
            guests.append(stack.enter_context(Frontend(add(switch, number))))
            guests[-1].enable()
        switch.wait_for(lambda: all(row["state"] == "up" for row in switch.ctl("port show")), 20, "not all are up")
        yield switch, guests, (resident(switch) - before) / (VMS - 1)


def test_all_are_served(many):
    switch, guests, memory = many
    assert memory < 1 << 20, "%d bytes for each idle port" % memory
    for number, guest in enumerate(guests, 1):  # each to the next, whose MAC nobody had to learn
        guest.send(frame(number, mac(number % VMS + 1)))
    for number, guest in enumerate(guests, 1):
        guest.wait(lambda: guest.received())
        assert guest.received() == [frame((number - 2) % VMS + 1, mac(number))]
    guests[0].send(frame(1))
    for guest in guests[1:]:
        guest.wait(lambda: len(guest.received()) == 2)
    port = switch.port("p1")
    assert (port["rx_packets"], port["copies"], port["forwarded"]) == (2, VMS - 2, VMS)


def test_new_guest_is_served_soon(many):
    """From the end of its set-up to the first packet that is taken of it, beside all the others."""
    switch, guests, _ = many
    times = []
    for number in range(VMS + 1, VMS + 12):
        with Frontend(add(switch, number)) as guest:
            guest.send(frame(number, mac(1)))
            start = time.monotonic()
            guest.enable()
            guest.wait(lambda: guest.taken() == 1)
            times.append(time.monotonic() - start)
            guests[0].wait(lambda: guests[0].received()[-1] == frame(number, mac(1)))
    assert statistics.median(times) < 0.03, times
