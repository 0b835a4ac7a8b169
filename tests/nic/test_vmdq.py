# SPDX-License-Identifier: BSD-3-Clause
"""VMDq: the NIC sorts frames by MAC into a queue for each VM."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ctl import CtlError  # noqa: E402
from switch import wait_for  # noqa: E402

A = bytes.fromhex("02000000000a")
EVERYBODY, GROUP, STRANGER = b"\xff" * 6, bytes.fromhex("333300000001"), bytes.fromhex("0200000000ee")


@pytest.fixture(name="make")
def two_ports(guest, start):
    """make(options): a switch of two workers, one NIC as port a with VMDq, another as port b."""
    def make(options=""):
        switch = start("0@0,1@0,2@0")
        switch.ctl("port add a dev %s vmdq on %s" % (guest.nics[0], options))
        switch.ctl("port add b dev %s %s" % (guest.nics[1], options))
        for name in "ab":
            switch.wait_state(name, "up")
        return switch

    return make


def mac(number):
    return bytes.fromhex("0200000001%02x" % number)


def add_vm(switch, number, *, macs=1):
    """VM v<number> behind a port of its own, with one MAC or more."""
    words = " ".join("mac " + mac(number + 16 * n).hex(":") for n in range(macs))
    switch.ctl("port add p%d dev net_null_%d,no-rx=1" % (number, number))
    switch.ctl("vm add v%d port p%d %s" % (number, number, words))


def frame(target, number=0, tag=b"", size=60):
    return (target + A + tag + b"\x88\xb5" + number.to_bytes(4, "big")).ljust(size, b"\x5a")


def pools(switch, key):
    return [row[key] for row in switch.port("a")["pools"]]


def sent(switch, *numbers):
    return [switch.port("p%d" % number)["tx_packets"] for number in numbers]


def test_sorted(guest, make):
    """Each VM's frames come in by its own queue, those of who has none by the first, which the worker of the VM's port
    polls while there is choice."""
    switch = make()
    for number in range(1, 10):
        add_vm(switch, number, macs=2 if number == 3 else 1)
    assert sorted(pools(switch, "vm")[1:]) == ["v%d" % number for number in range(1, 8)] and pools(switch, "vm")[0] == "-"
    owners = {row["port"]: int(row["workers"]) for row in switch.ctl("port show") if row["port"] != "a"}
    same = [row["worker"] == owners["p" + row["vm"][1:]] for row in switch.port("a")["pools"][1:]]
    assert same.count(True) >= 6, switch.port("a")["pools"]
    guest.wires[0].send(*[frame(mac(number), n) for number in range(1, 10) for n in range(10 * number)],
                        *[frame(mac(3 + 16), n) for n in range(5)], *[frame(STRANGER, n) for n in range(3)])
    wait_for(lambda: switch.port("a")["rx_packets"] == 450 + 5 + 3, 10, lambda: str(switch.port("a")))
    want = {"v%d" % number: 10 * number for number in range(1, 8)} | {"v3": 35, "-": 80 + 90 + 3}
    assert {row["vm"]: row["rx_packets"] for row in switch.port("a")["pools"]} == want
    wait_for(lambda: sent(switch, *range(1, 10)) == [13, 23, 38, 43, 53, 63, 73, 83, 93], 5,
             lambda: str(sent(switch, *range(1, 10))))  # the stranger's are flooded
    assert guest.wires[1].take(3) == [frame(STRANGER, n) for n in range(3)]


def test_groups_once(guest, make):
    """What is for many comes in once, not once for each pool; tags stay where they are."""
    switch = make()
    add_vm(switch, 1)
    there = [frame(target, tag=tag) for target in (EVERYBODY, GROUP) for tag in (b"", b"\x81\x00\x00\x07")]
    guest.wires[0].send(*there)
    assert guest.wires[1].take(4) == there
    wait_for(lambda: sent(switch, 1) == [4], 5)
    assert switch.port("a")["rx_packets"] == 4
    switch.ctl("vm add b port b mac " + mac(2).hex(":"))
    there = [frame(mac(2)), frame(mac(2), tag=b"\x81\x00\x00\x07")]
    guest.wires[0].send(*there)
    assert guest.wires[1].take(2) == there
    assert {row["vm"]: row["rx_packets"] for row in switch.port("a")["pools"] if row["rx_packets"]} == {"-": 4, "b": 2}
    guest.wires[1].send(frame(A)[6:12] + mac(2) + frame(A)[12:])
    assert guest.wires[0].take(1) == [A + mac(2) + frame(A)[12:]]


def test_pools_change_hands(guest, make):
    """A VM that goes leaves its pool to the next; VMs that are there before the NIC get pools too."""
    switch = make()
    for number in range(1, 8):
        add_vm(switch, number)
    add_vm(switch, 8)
    assert "v8" not in pools(switch, "vm")
    place = pools(switch, "vm").index("v2")
    switch.ctl("vm del v2")
    assert pools(switch, "vm")[place] == "v8"
    guest.wires[0].send(*[frame(mac(8), n) for n in range(4)], *[frame(mac(2), n) for n in range(6)])
    wait_for(lambda: switch.port("a")["rx_packets"] == 10, 5)
    assert (pools(switch, "rx_packets")[place], pools(switch, "rx_packets")[0]) == (4, 6)
    switch.ctl("port del a")
    switch.ctl("port add a dev %s vmdq on" % guest.nics[0])
    switch.wait_state("a", "up")
    assert sorted(pools(switch, "vm")[1:]) == ["v%d" % number for number in (1, 3, 4, 5, 6, 7, 8)]
    guest.wires[0].send(*[frame(mac(8), n) for n in range(4)])
    wait_for(lambda: pools(switch, "rx_packets")[pools(switch, "vm").index("v8")] == 4, 5)


def test_long(guest, make):
    switch = make("mtu 9000")
    switch.ctl("vm add b port b mac " + mac(2).hex(":"))
    there = [frame(mac(2), size=9014), frame(mac(2), tag=b"\x81\x00\x00\x07", size=9018), frame(EVERYBODY, size=9014)]
    guest.wires[0].send(*there)
    assert sorted(guest.wires[1].take(3)) == sorted(there)


def test_errors(make):
    switch = make()
    for command, status, sentence in (
            ("port add c dev net_null_c vmdq on", "UNSUPPORTED", "device 'net_null_c' is no Intel 82576"),
            ("port add c dev net_null_c vmdq maybe", "BAD", "vmdq is on or off, not 'maybe'"),
            ("port add c dev net_null_c vmdq on queues 2", "BAD", "neither queues nor promiscuous off")):
        with pytest.raises(CtlError, match=sentence) as error:
            switch.ctl(command)
        assert error.value.status == status
    assert "vmdq on" in switch.ctl("save")
