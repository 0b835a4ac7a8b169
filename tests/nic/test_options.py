# SPDX-License-Identifier: BSD-3-Clause
"""Options of a NIC's port: receive queues, MTU, MAC filters."""

import os
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ctl import CtlError  # noqa: E402
from switch import wait_for  # noqa: E402

A, B, C = ("02:00:00:00:00:" + number for number in ("0a", "0b", "0c"))
GROUP, EVERYBODY = "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"


@pytest.fixture(name="make")
def two_ports(guest, start):
    """make(options of a, options of b): a switch of two workers with NICs as its ports, both up."""
    def make(*options, lcores="0@0,1@0,2@0"):
        switch = start(lcores)
        for name, address, words in zip("ab", guest.nics, options):
            switch.ctl("port add %s dev %s %s" % (name, address, words))
        for name, _ in zip("ab", options):
            switch.wait_state(name, "up")
        return switch

    return make


def frame(source, target, number=0, size=60):
    head = Ether(src=source, dst=target) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=number, dport=7)
    return bytes(head / (b"x" * (size - len(head))))


def test_queues(guest, make):
    """Flows spread over the queues and these over the workers, and all of them arrive."""
    switch = make("queues 4", "queues 2")
    row = switch.port("a")
    assert (sorted(row["workers"].split(",")), row["promiscuous"], row["mtu"]) == (list("0011"), "on", 1500)
    there = [frame(A, EVERYBODY, n) for n in range(200)]
    guest.wires[0].send(*there)
    assert sorted(guest.wires[1].take(200)) == sorted(there)
    wait_for(lambda: switch.port("a")["forwarded"] == 200, 5, lambda: str(switch.port("a")))
    packets = [row["packets"] for row in switch.ctl("worker show")]
    assert sum(packets) == 200 and min(packets) > 20, packets
    assert ["port add a dev %s queues 4" % guest.nics[0], "port add b dev %s queues 2" % guest.nics[1]] == \
        [line for line in switch.ctl("save").splitlines() if line.startswith("port")]


def test_mtu(guest, make):
    switch = make("mtu 9000", "mtu 4000")
    assert switch.port("a")["mtu"] == 9000 and switch.port("a")["max_frame"] == 9022
    there = [frame(A, EVERYBODY, n, 14 + size) for n, size in enumerate((60, 1500, 1501, 3999, 4000))]
    guest.wires[0].send(*there, frame(A, EVERYBODY, 9, 14 + 9000))
    assert guest.wires[1].take(len(there)) == there
    wait_for(lambda: switch.port("a")["drops"]["too_big"] == 1, 5, lambda: str(switch.port("a")))
    back = frame(B, A, 1, 14 + 3000)
    guest.wires[1].send(back)
    assert guest.wires[0].take(1) == [back]


def test_filters(guest, make):
    """promiscuous off: what is for VMs elsewhere, for MACs that were named, and for groups comes in, and no more."""
    switch = make("promiscuous off mac " + C, "")
    wanted, others = [frame(A, C), frame(A, GROUP), frame(A, EVERYBODY)], [frame(A, B), frame(A, "02:00:00:00:00:0d")]
    guest.wires[0].send(*others, *wanted)
    assert guest.wires[1].take(3) == wanted
    assert switch.port("a")["rx_packets"] == 3, "the NIC has sorted out the rest"
    switch.ctl("vm add v port b mac " + B)
    guest.wires[0].send(*others, *wanted)
    assert guest.wires[1].take(4) == others[:1] + wanted
    switch.ctl("vm del v")
    guest.wires[0].send(*others, *wanted)
    assert guest.wires[1].take(3) == wanted
    assert switch.port("a")["rx_packets"] == 10


def test_filters_full(guest, make):
    """A VM that the NIC has no filter left for is refused, and nothing of it remains."""
    switch = make("promiscuous off", "")
    macs = ["02:00:00:00:01:%02x" % n for n in range(24)]  # 82576: 24, of which one is its own
    switch.ctl("vm add v port b " + " ".join("mac " + mac for mac in macs[:16]))
    switch.ctl("port add x dev net_null_x,no-rx=1")
    with pytest.raises(CtlError, match="no room for MAC 02:00:00:00:01:17: its device has 23 filters") as error:
        switch.ctl("vm add w port x " + " ".join("mac " + mac for mac in macs[16:]))
    assert error.value.status == "FULL"
    assert [row["vm"] for row in switch.ctl("vm show")] == ["v"]
    switch.ctl("vm add w port x " + " ".join("mac " + mac for mac in macs[16:23]))
    guest.wires[0].send(frame(A, macs[0]), frame(A, macs[15]), frame(A, macs[22]), frame(A, macs[23]))
    assert guest.wires[1].take(2) == [frame(A, macs[0]), frame(A, macs[15])]
    wait_for(lambda: switch.port("a")["rx_packets"] == 3, 5, lambda: str(switch.port("a")))


@pytest.mark.parametrize("options,status,sentence", [
    ("queues 17", "BAD", "device '%s' receives by at most 16 queues, not 17"),
    ("mtu 20000", "BAD", "device '%s' takes an mtu of 68 to 16361 bytes, not 20000"),
])
def test_too_much(guest, make, options, status, sentence):
    switch = make(lcores="0@0,1@0")
    with pytest.raises(CtlError) as error:
        switch.ctl("port add a dev %s %s" % (guest.nics[0], options))
    assert (error.value.status, error.value.text) == (status, sentence % guest.nics[0])
    switch.ctl("port add a dev " + guest.nics[0])
