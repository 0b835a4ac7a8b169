# SPDX-License-Identifier: BSD-3-Clause
"""Bonds of two NICs."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ctl import CtlError  # noqa: E402
from lacp import Partner  # noqa: E402
from switch import wait_for  # noqa: E402

A, B = (bytes.fromhex("0200000000" + number) for number in ("0a", "0b"))
EVERYBODY = b"\xff" * 6


@pytest.fixture(name="bond")
def make(guest, start):
    """make(mode): a switch with the first NIC as port a, and the others as port b."""
    def bond(mode):
        switch = start()
        switch.ctl("port add a dev " + guest.nics[0])
        switch.ctl("port add b dev net_bonding_b,mode=%d,slave=%s,slave=%s" % (mode, *guest.nics[1:]))
        switch.wait_state("a", "up")
        return switch

    return bond


def members(guest, *states):
    return ", ".join("%s %s" % pair for pair in zip(guest.nics[1:], states))


def wait_members(guest, switch, *states):
    wait_for(lambda: switch.port("b")["members"] == members(guest, *states), 15, lambda: str(switch.port("b")), 0.2)


def frames(count, target=EVERYBODY, sources=1):
    return [target + A[:5] + bytes([n % sources]) + b"\x88\xb5" + n.to_bytes(4, "big") + bytes(42) for n in range(count)]


def test_active_backup(guest, bond):
    """One carries all; when it loses its link the other one does, both ways."""
    switch = bond(1)
    wait_members(guest, switch, "active", "ready")
    there = frames(20)
    back = [frame[6:12] + B + frame[12:] for frame in there]
    for active in (1, 2, 1):
        other = 3 - active
        guest.link(active, True)
        wait_for(lambda: "down" not in switch.port("b")["members"], 10, lambda: str(switch.port("b")), 0.2)
        guest.link(other, False)
        wait_members(guest, switch, *("active" if number == active else "down" for number in (1, 2)))
        switch.wait_state("b", "up")
        guest.wires[0].send(*there)
        assert guest.wires[active].take(len(there)) == there and not guest.wires[other].drain()
        guest.wires[active].send(*back)
        assert guest.wires[0].take(len(back)) == back
    guest.link(1, False)
    switch.wait_state("b", "down")
    guest.link(2, True)
    switch.wait_state("b", "up")
    assert switch.ctl("drop show")["dropped"] == 0


def test_lacp(guest, bond):
    """Both carry, each flow by one of them; when one loses its link the other carries all."""
    partner = Partner(*guest.wires[1:])
    switch = bond(4)
    switch.wait_state("b", "up")
    wait_for(lambda: partner.agreed(0, 1), 20, lambda: str(partner.states))
    wait_members(guest, switch, "active", "active")
    there = frames(64, EVERYBODY, 16)
    guest.wires[0].send(*there)
    wait_for(lambda: len(guest.wires[1].frames) + len(guest.wires[2].frames) == 64, 10)
    by = [wire.drain() for wire in guest.wires[1:]]
    assert sorted(by[0] + by[1]) == sorted(there) and all(by)
    assert not {frame[6:12] for frame in by[0]} & {frame[6:12] for frame in by[1]}, "a flow stays on its wire"
    for wire in guest.wires[1:]:
        back = frames(5, A)
        wire.send(*back)
        assert guest.wires[0].take(5) == back
    guest.link(1, False)
    wait_members(guest, switch, "down", "active")
    switch.wait_state("b", "up")
    guest.wires[0].send(*there)
    assert guest.wires[2].take(64) == there


def test_member_unplugged(guest, bond):
    """The bond lives on with the other one."""
    switch = bond(1)
    wait_members(guest, switch, "active", "ready")
    guest.unplug(1)
    wait_for(lambda: switch.port("b")["members"] == guest.nics[2] + " active", 20, lambda: str(switch.port("b")), 0.2)
    guest.wires[0].send(*frames(20))
    assert guest.wires[2].take(20) == frames(20)
    switch.ctl("port del b")
    guest.plug(1)
    switch.ctl("port add b dev net_bonding_b,mode=1,slave=%s,slave=%s" % tuple(guest.nics[1:]))
    wait_members(guest, switch, "active", "ready")


def test_errors(guest, bond):
    switch = bond(1)
    with pytest.raises(CtlError, match="device '%s' is a port already" % guest.nics[1]):
        switch.ctl("port add c dev " + guest.nics[1])
    for member, sentence in ((guest.nics[0], "device '%s' is a port, or a member of one, already" % guest.nics[0]),
                             ("0000:0f:00.0", "there is no PCI device 0000:0f:00.0 in this machine")):
        with pytest.raises(CtlError, match=sentence):
            switch.ctl("port add c dev net_bonding_c,mode=1,slave=" + member)
    assert [row["port"] for row in switch.ctl("port show")] == ["a", "b"]
    switch.ctl("port del b")
    switch.ctl("port add c dev " + guest.nics[1])
    switch.wait_state("c", "up")
