# SPDX-License-Identifier: BSD-3-Clause
"""NICs as ports: an emulated 82576 each, bound to vfio-pci behind an IOMMU in a guest."""

import os
import random
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import wait_for  # noqa: E402

A, B = (bytes.fromhex("0200000000" + number) for number in ("0a", "0b"))
EVERYBODY = b"\xff" * 6


@pytest.fixture(name="switch")
def two_ports(guest, start):
    """With two NICs as ports a and b, both up."""
    switch = start()
    for name, address in zip("ab", guest.nics):
        switch.ctl("port add %s dev %s" % (name, address))
    for name in "ab":
        switch.wait_state(name, "up")
    return switch


def frames(rng, source, target, count=40):
    """Of all lengths that Ethernet has, no two alike."""
    sizes = [60, 61, 1514] + [rng.randrange(60, 1515) for _ in range(count - 3)]
    return [target + source + b"\x88\xb5" + n.to_bytes(4, "big") + rng.randbytes(size - 18) for n, size in enumerate(sizes)]


def sent_and_received(switch):
    return {name: [switch.port(name)[key] for key in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")] for name in "ab"}


def test_byte_for_byte(guest, switch):
    """Both ways, at once; what the ports count is what went over the wires."""
    rng = random.Random(1)
    there, back = frames(rng, A, EVERYBODY), frames(rng, B, A)
    guest.wires[0].send(*there)
    assert guest.wires[1].take(len(there)) == there
    guest.wires[1].send(*back)
    assert guest.wires[0].take(len(back)) == back
    size = [sum(map(len, each)) for each in (there, back)]
    wait_for(lambda: sent_and_received(switch) == {"a": [40, size[0], 40, size[1]], "b": [40, size[1], 40, size[0]]}, 5,
             lambda: str(sent_and_received(switch)))
    assert switch.ctl("drop show")["dropped"] == 0


def test_link(guest, switch):
    """A pulled cable: the port is down, what would leave by it is dropped by name; all is well when it is back."""
    rng = random.Random(2)
    there = frames(rng, A, B)
    guest.wires[1].send(frames(rng, B, EVERYBODY)[0])
    guest.wires[0].take(1)
    guest.link(1, False)
    switch.wait_state("b", "down")
    assert switch.port("a")["state"] == "up"
    guest.wires[0].send(*there)
    wait_for(lambda: switch.port("a")["drops"]["link_down"] == len(there), 5, lambda: str(switch.port("a")))
    guest.link(1, True)
    switch.wait_state("b", "up")
    guest.wires[0].send(*there)
    assert guest.wires[1].take(len(there)) == there


def test_removed_and_added(guest, switch):
    """While the other goes on: without the port there is nowhere to go, with it all is as before."""
    rng = random.Random(3)
    there = frames(rng, A, EVERYBODY)
    for _ in range(2):
        switch.ctl("port del b")
        assert [row["port"] for row in switch.ctl("port show")] == ["a"]
        before = switch.port("a")["drops"]["no_port"]
        guest.wires[0].send(*there)
        wait_for(lambda: switch.port("a")["drops"]["no_port"] == before + len(there), 5, lambda: str(switch.port("a")))
        switch.ctl("port add b dev " + guest.nics[1])
        switch.wait_state("b", "up")
        guest.wires[0].send(*there)
        assert guest.wires[1].take(len(there)) == there
