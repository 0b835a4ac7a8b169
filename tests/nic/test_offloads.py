# SPDX-License-Identifier: BSD-3-Clause
"""Checksums and TCP segments that guests leave to be finished are finished by the NIC, or by the switch where the NIC may
not."""

import os
import sys

import pytest
from scapy.packet import Raw

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import inpython  # noqa: E402
from switch import wait_for  # noqa: E402
from unfinished import PACKETS, finished, head, segments, tcp, unfinished  # noqa: E402

SEND = """
import frontend
with frontend.Frontend("/run/v.sock", frontend.CSUM | frontend.HOST_TSO4 | frontend.HOST_TSO6) as peer:
    peer.enable()
    for header, frame in %r:
        peer.send(frame, header)
        peer.wait(lambda: peer.taken() == peer.sent, 30)
"""


@pytest.fixture(scope="module", autouse=True)
def frontend(guest):
    inpython.install(guest, "frontend")


@pytest.fixture(name="make")
def nic_and_guest(guest, start):
    """make(options): a switch with a NIC, whose wire works, and a vhost port."""
    def make(options=""):
        switch = start()
        switch.ctl("port add n dev %s %s" % (guest.nics[0], options))
        wait_for(lambda: guest.wires[0].send(bytes(60)) or switch.port("n")["rx_packets"] > 0, 10, "nothing comes in", 0.2)
        switch.ctl("port add v vhost /run/v.sock")
        return switch

    return make


@pytest.mark.parametrize("by_nic", [True, False], ids=["nic", "switch"])
def test_finished(guest, make, by_nic):
    """The same whoever does it, but that QEMU's NIC forgets PSH when it cuts. The counters tell who cut; and who computed,
    that the switch would begin with the pseudo header's sum, which is left out where the NIC is to compute."""
    switch, data, last = make("" if by_nic else "offloads off"), bytes(range(256)) * 14, "A" if by_nic else "PA"
    assert switch.port("n")["takes"] == ("csum,tso4,tso6" if by_nic else "-")
    assert by_nic or any(line.endswith("offloads off") for line in switch.ctl("save").splitlines())
    left = [unfinished(packet, seeded=not by_nic) for packet in PACKETS.values()]
    left += [unfinished(head(version, tcp()) / Raw(data), gso_size=1000) for version in (4, 6)]
    expected = [finished(packet) for packet in PACKETS.values()]
    expected += segments(4, data, 1000, last) + segments(6, data, 1000, last)
    inpython.run(guest, SEND % left)
    assert guest.wires[0].take(len(expected)) == expected
    port, copies = switch.port("v"), 0 if by_nic else 6
    assert (port["rx_packets"], port["copies"], port["dropped"]) == (len(left), copies, 0)
    assert switch.port("n")["tx_packets"] == port["forwarded"] == len(left) + copies


def test_more_than_the_nic_can(guest, make):
    """An 82576 cuts segments of at most 9216 bytes."""
    switch = make("mtu 12000")
    packet = head(4, tcp()) / Raw(bytes(11000))
    inpython.run(guest, SEND % [unfinished(packet, gso_size=size) for size in (10000, 9000)])
    assert guest.wires[0].take(2) == segments(4, bytes(11000), 9000, "A")
    port = switch.port("v")
    assert (port["rx_packets"], port["copies"], port["forwarded"], port["dropped"]) == (2, 0, 1, 1)
    assert port["drops"]["bad_offload"] == switch.port("n")["tx_refused"] == 1
