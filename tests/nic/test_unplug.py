# SPDX-License-Identifier: BSD-3-Clause
"""A NIC that is pulled out of the running machine, and put back."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import wait_for  # noqa: E402

A, B, C = (bytes.fromhex("0200000000" + number) for number in ("0a", "0b", "0c"))
EVERYBODY = b"\xff" * 6


def frame(source, target, number):
    return target + source + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(42)


def learn(guest, wire, source):
    """Frames to this MAC go to this wire and nowhere else."""
    guest.wires[wire].send(frame(source, EVERYBODY, 0))
    time.sleep(0.5)
    for each in guest.wires:
        each.drain()


def test_unplugged_in_traffic(guest, start):
    """While frames go from a to b and to c, b's NIC goes: c gets every frame, b can be deleted, and added again."""
    switch = start()
    for name, address in zip("abc", guest.nics):
        switch.ctl("port add %s dev %s" % (name, address))
    for name in "abc":
        switch.wait_state(name, "up")
    learn(guest, 0, A), learn(guest, 1, B), learn(guest, 2, C)
    before, stop, sent = switch.port("a")["rx_packets"], threading.Event(), []

    def send():
        while not stop.is_set():
            sent.append(len(sent))
            guest.wires[0].send(frame(A, C, sent[-1]), frame(A, B, sent[-1]))
            time.sleep(0.002)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_for(lambda: len(guest.wires[1].frames) > 20, 10)
        guest.unplug(1)
        switch.wait_state("b", "down", 20)
        seen = len(guest.wires[2].frames)
        wait_for(lambda: len(guest.wires[2].frames) > seen + 100, 10)
    finally:
        stop.set()
        sender.join()
    assert guest.wires[2].take(len(sent)) == [frame(A, C, number) for number in sent]
    to_b = guest.wires[1].drain()
    wait_for(lambda: switch.port("a")["rx_packets"] == before + 2 * len(sent), 5)
    row = switch.port("a")
    assert row["drops"]["link_down"] > 0
    assert row["rx_packets"] + row["copies"] == row["forwarded"] + row["dropped"]
    assert len(to_b) <= switch.port("b")["tx_packets"]
    assert switch.port("b")["where"] == guest.nics[1] and "port b: its device is gone" in switch.log()

    switch.ctl("port del b")
    guest.plug(1)
    switch.ctl("port add b dev " + guest.nics[1])
    switch.wait_state("b", "up")
    guest.wires[0].send(frame(A, EVERYBODY, 1))
    assert guest.wires[1].take(1) == guest.wires[2].take(1) == [frame(A, EVERYBODY, 1)]


def test_unbound(guest, start):
    """The same when somebody takes the driver away; the switch ends in order with the dead port in place."""
    switch = start()
    for name, address in zip("ab", guest.nics):
        switch.ctl("port add %s dev %s" % (name, address))
        switch.wait_state(name, "up")
    guest.check("echo %s > /sys/bus/pci/drivers/vfio-pci/unbind" % guest.nics[1])
    switch.wait_state("b", "down")
    guest.wires[0].send(frame(A, EVERYBODY, 1))
    wait_for(lambda: switch.port("a")["drops"]["no_port"] == 1, 5, lambda: str(switch.port("a")))
    switch.stop()
    guest.bind(1)
