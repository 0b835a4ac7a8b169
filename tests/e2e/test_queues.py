# SPDX-License-Identifier: BSD-3-Clause
"""Queues and the workers that serve them: several of one guest, moved under traffic, moved for balance."""

import os
import random
import socket
import struct
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lbnet import Host, two_workers  # noqa: E402
from peer import Peer  # noqa: E402

EVERYBODY = "ff:ff:ff:ff:ff:ff"
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
MULTI = ("--rxq=2", "--txq=2")
SLOW = ("--noisy-lkup-memory=8", "--noisy-lkup-num-reads=500")  # so that the writer of a file can follow
FRAMES = 500000  # numbered


@pytest.fixture
def switch(switch_factory):
    made = switch_factory()
    two_workers(made)
    return made


def add_vm(switch, name, mac):
    switch.ctl("port add %s vhost %s/%s.sock" % (name, switch.dir, name))
    switch.ctl("vm add %s port %s mac %s" % (name, name, mac))
    return "%s/%s.sock" % (switch.dir, name)


def up(switch, *names):
    switch.wait_for(lambda: all(switch.port(name)["state"] == "up" for name in names), 10, "ports are not up")


def settle(switch, peer, port):
    """All that a peer has sent is through."""
    sent = peer.stats()["TX-packets"]
    switch.wait_for(lambda: switch.port(port)["rx_packets"] >= sent and not switch.drops()["in_flight"], 10,
                    lambda: "%d sent, %s" % (sent, switch.drops()), 0.1)
    return sent


@pytest.mark.asan
@pytest.mark.parametrize("device", ["", ",packed_vq=1"], ids=["split", "packed"])
def test_two_queues(switch, device):
    a, b = add_vm(switch, "a", A), add_vm(switch, "b", B)
    with Peer(a, A, device="queues=2" + device, arguments=(*MULTI, "--txonly-multi-flow")) as one, \
            Peer(b, B, device="queues=2" + device, arguments=MULTI) as two:
        up(switch, "a", "b")
        switch.wait_for(lambda: all(sorted(switch.port(name)["workers"].split(",")) == ["0", "1"] for name in "ab"), 5,
                        lambda: switch.ctl("port show"))
        two.run("rxonly")
        one.run("txonly", B)
        time.sleep(1)
        one.stop()
        sent = settle(switch, one, "a")
        two.stop()
        queues = [int(line.split()[1]) for line in two.ask("show fwd stats all").splitlines() if "RX-packets" in line]
        port = switch.port("a")
        assert port["rx_packets"] == sent == port["forwarded"] + port["dropped"]
        assert {reason for reason, count in port["drops"].items() if count} <= {"tx_full", "handoff_full"}
        assert two.stats()["RX-packets"] == port["forwarded"] > 1000, queues
        workers = switch.ctl("worker show")
        assert all(row["packets"] > 1000 for row in workers), workers


def numbered_frames(path):
    with open(path, "wb") as stream:
        stream.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        before = struct.pack("<IIII", 0, 0, 60, 60) + bytes.fromhex((B + A).replace(":", "")) + b"\x88\xb5"
        for number in range(FRAMES):
            stream.write(before + struct.pack(">I", number) + bytes(42))


def check_order(path):
    """Frames of the file follow one another: there may be gaps, but no step back."""
    last, count = -1, 0
    with open(path, "rb") as stream:
        data = stream.read()[24:]
    for at in range(30, len(data), 76):
        number, = struct.unpack_from(">I", data, at)
        assert number > last, "%d after %d, frame %d" % (number, last, count)
        last = number
        count += 1
    return count


@pytest.mark.asan
def test_moved_at_full_rate(switch):
    """Both ends of a stream go from worker to worker: no frame overtakes another."""
    numbered_frames(switch.dir + "/in.pcap")
    a, b = add_vm(switch, "a", A), add_vm(switch, "b", B)
    source = ("--vdev", "net_pcap0,rx_pcap=%s/in.pcap,tx_pcap=/dev/null" % switch.dir)
    sink = ("--vdev", "net_pcap0,tx_pcap=%s/out.pcap" % switch.dir)
    with Peer(a, A, eal=source, arguments=SLOW) as one, Peer(b, B, eal=sink) as two:
        up(switch, "a", "b")
        two.ask("set fwd io")
        two.ask("start")
        one.ask("set fwd noisy")
        one.ask("start")
        switch.wait_for(lambda: switch.port("b")["tx_packets"] > 1000, 10, lambda: switch.port("b"))
        move(switch, "ab", 60)
        one.stop()
        settle(switch, one, "a")
        time.sleep(0.5)
        two.stop()
        port = switch.port("a")
        assert port["forwarded"] + port["dropped"] == port["rx_packets"] > 10000
        assert {reason for reason, count in port["drops"].items() if count} <= {"tx_full", "handoff_full"}  # all share two cores
        forwarded = port["forwarded"]
    workers = switch.ctl("worker show")
    assert all(row["packets"] > 1000 for row in workers), workers
    assert check_order(switch.dir + "/out.pcap") == forwarded


def test_moved_without_loss(switch):
    """A host's frames go to a guest that sends them back, at a rate that leaves room, while both ports move."""
    count = 10000
    b = add_vm(switch, "b", B)
    host = Host(switch, "host", 10, [])
    try:
        with Peer(b, B) as peer, host.capture() as wire:
            up(switch, "b")
            peer.run("macswap")
            mover = threading.Thread(target=move, args=(switch, ("b", "host"), 60))
            mover.start()
            frame = bytes.fromhex((B + host.mac).replace(":", "")) + b"\x88\xb5"
            wire.settimeout(5)
            got = []
            for number in range(count):
                wire.send(frame + struct.pack(">I", number) + bytes(42))
                if number % 8 == 7:
                    time.sleep(0.0005)
                while len(got) < number - 200:  # so many on their way
                    take(wire, got)
            while len(got) < count:
                take(wire, got)
            mover.join()
            peer.stop()
    finally:
        host.close()
    assert got == list(range(count))
    assert switch.drops()["dropped"] == 0
    assert all(row["packets"] > 100 for row in switch.ctl("worker show")), switch.ctl("worker show")


def move(switch, ports, times):
    for turn in range(times):
        switch.ctl("port move %s %d" % (random.choice(ports), random.randrange(2)))
        time.sleep(0.02)


def take(wire, got):
    """Its own frames are seen by the socket, too."""
    frame, address = wire.recvfrom(2000)
    if address[2] != socket.PACKET_OUTGOING and frame[12:14] == b"\x88\xb5":
        got.append(struct.unpack_from(">I", frame, 14)[0])


def test_moved_for_balance(switch):
    """Two busy ports at one worker: one of them goes to the other worker, unless the operator wants it where it is."""
    switch.ctl("worker balance off")
    a, b, c = add_vm(switch, "a", A), add_vm(switch, "b", B), add_vm(switch, "c", C)
    with Peer(a, A) as one, Peer(b, B) as two, Peer(c, C):
        up(switch, "a", "b", "c")
        for name in "abc":
            switch.ctl("port move %s 1" % name)
        one.run("txonly", EVERYBODY)  # work enough for the worker
        two.run("txonly", EVERYBODY)
        time.sleep(3)
        assert [switch.port(name)["workers"] for name in "abc"] == ["1", "1", "1"]
        switch.ctl("worker balance on")
        time.sleep(3)
        assert [switch.port(name)["workers"] for name in "abc"] == ["1", "1", "1"]  # placed by the operator
        for name in "abc":
            switch.ctl("port move %s auto" % name)
        switch.wait_for(lambda: sorted(switch.port(name)["workers"] for name in "ab") == ["0", "1"], 20,
                        lambda: switch.ctl("worker show"))
        one.stop()
        two.stop()
    assert "moved from worker 1" in switch.log()


def test_one_queue_placed(switch):
    """Of a busy guest's two queues the one that the operator placed stays, the other is moved for balance."""
    switch.ctl("worker balance off")
    for number in range(4):  # work enough for the worker: copies
        switch.ctl("port add null%d dev net_null_%d,no-rx=1" % (number, number))
    with Peer(add_vm(switch, "a", A), A, device="queues=2", arguments=MULTI) as one:
        up(switch, "a")
        switch.wait_for(lambda: len(switch.port("a")["workers"]) == 3, 5, lambda: switch.port("a")["workers"])
        for queue in 0, 1:
            switch.ctl("port move a 1 queue %d" % queue)
        switch.ctl("port move a auto")
        switch.ctl("port move a 1 queue 1")
        one.run("txonly", EVERYBODY)
        switch.ctl("worker balance on")
        switch.wait_for(lambda: switch.port("a")["workers"] == "0,1", 20, lambda: switch.ctl("worker show"))
        one.stop()
    assert "port a: queue 0 moved from worker 1" in switch.log()


def test_said_again(switch, switch_factory):
    """Each queue that the operator placed is saved, also one that the guest has yet to bring."""
    path = add_vm(switch, "a", A)
    switch.ctl("port add b dev net_null_b,no-rx=1")
    for words in ("a 1", "a 1 queue 1", "a 0 queue 15", "b 1"):
        switch.ctl("port move " + words)
    switch.ctl("worker balance off")
    saved = switch.ctl("save").splitlines()
    moves = [line for line in saved if "move" in line]
    assert saved[0] == "worker balance off" and saved[2] == "port move a 1 queue 0"
    assert moves == ["port move a 1 queue 0", "port move a 1 queue 1", "port move a 0 queue 15", "port move b 1 queue 0"]
    switch.stop()
    again = switch_factory()
    two_workers(again)
    for line in saved:
        again.ctl(line)
    assert again.ctl("save").splitlines() == saved
    with Peer(path, A, device="queues=2", arguments=MULTI):
        again.wait_for(lambda: len(again.port("a")["workers"]) == 3, 10, lambda: again.port("a"))
        assert again.port("a")["workers"] == "1,1"
    again.ctl("port move a auto")
    assert [line for line in again.ctl("save").splitlines() if "move" in line] == moves[3:]
