# SPDX-License-Identifier: BSD-3-Clause
"""Rules about the state of connections: real kernels through them, and conversations judged packet by packet."""

import collections
import contextlib
import errno
import os
import random
import socket
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from conversations import conversation, exchange  # noqa: E402
from lbnet import Connection, ping, who  # noqa: E402
from rulebed import FW, PEER, SIDES, Bed  # noqa: E402
from test_track import ours  # noqa: E402
from wire import mac_bytes  # noqa: E402

STATES = ["new", "established", "related", "invalid", "untracked"]


@pytest.fixture
def bed(switch):
    with contextlib.ExitStack() as stack:
        yield Bed(switch, stack)


def rule(bed, words):
    bed.switch.ctl("rule add %s %s" % (FW, words))


def guard(bed):
    """What a host behind a firewall wants: what it begins, and one service of its own."""
    rule(bed, "in 1 allow type arp")
    rule(bed, "in 2 allow state established,related")
    rule(bed, "in 3 allow state new proto tcp dport 80 flags syn/syn,ack,rst,fin")
    bed.switch.ctl("rule default %s in drop" % FW)


def reaches(client, address, port, kind=socket.SOCK_STREAM, timeout=0.7):
    with client.socket(socket.AF_INET, kind, timeout=timeout) as one:
        try:
            one.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                one.send(b"hello")
                one.recv(100)
        except TimeoutError:
            return False
        except OSError as error:
            return errno.errorcode[error.errno]
    return True


@pytest.mark.asan
def test_kernels(bed):
    """Out everything, in only answers, errors about it, and one service."""
    fw, peer = bed.hosts["fw"], bed.hosts["peer"]
    fw.serve()
    peer.serve()
    guard(bed)
    assert who(peer, "10.0.0.1") == "fw" and who(fw, "10.0.0.2") == "peer"
    assert not reaches(peer, "10.0.0.1", 7, socket.SOCK_DGRAM) and not reaches(peer, "10.0.0.1", 22)
    assert reaches(fw, "10.0.0.2", 7, socket.SOCK_DGRAM) is True
    assert reaches(fw, "10.0.0.2", 22) == "ECONNREFUSED"  # the peer's RST is an answer
    assert reaches(fw, "10.0.0.2", 9, socket.SOCK_DGRAM) == "ECONNREFUSED"  # its ICMP error is related
    assert ping(fw, "10.0.0.2") == peer.ttl
    with pytest.raises(TimeoutError):
        ping(peer, "10.0.0.1")
    with Connection(fw, "10.0.0.2", timeout=20) as out, Connection(peer, "10.0.0.1", timeout=20) as into:
        for one in (out, into):
            one.transfer(3000000, 3000000)
    bed.switch.ctl("rule del %s in 2" % FW)
    rule(bed, "in 2 allow state established")
    assert reaches(fw, "10.0.0.2", 9, socket.SOCK_DGRAM) is False  # not related any more
    shown = bed.switch.ctl("flow show")
    assert bed.switch.ctl("vm show fw")["connections"] == shown["connections"] > 4
    assert shown["flows"] > 4 and shown["hits"] > shown["misses"] > 4
    assert (shown["flow_room"], shown["connection_room"]) == (262144, 131072)
    bed.accounts_agree()


def cancel(bed):
    bed.switch.ctl("X " + FW)


def make_anew(bed):
    bed.switch.ctl("vm del fw")
    bed.switch.ctl("vm add fw port fw mac " + FW)


@pytest.mark.asan
@pytest.mark.parametrize("end", [cancel, make_anew])
def test_forgotten_with_the_registration(bed, end):
    """After it an answer to what was asked before is no answer."""
    peer, fw = bed.hosts["peer"], bed.hosts["fw"]
    guard(bed)
    with fw.socket(socket.AF_INET, socket.SOCK_DGRAM, timeout=0.5) as client, \
            peer.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("10.0.0.2", 5000))
        client.sendto(b"question", ("10.0.0.2", 5000))
        address = server.recvfrom(100)[1]
        server.sendto(b"answer", address)
        assert client.recv(100) == b"answer"
        end(bed)
        bed.switch.ctl("R F %s 10.0.0.1" % FW)
        guard(bed)
        server.sendto(b"late", address)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.sendto(b"again", ("10.0.0.2", 5000))
        assert server.recvfrom(100)[0] == b"again"
        server.sendto(b"better", address)
        assert client.recv(100) == b"better"


def frame_of(packet, side):
    ends = (mac_bytes(FW), mac_bytes(PEER)) if side == 0 else (mac_bytes(PEER), mac_bytes(FW))
    return ends[0] + ends[1] + (b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


@pytest.mark.asan
@pytest.mark.parametrize("make", [lambda rng, number: conversation(rng, number, 0.3), exchange], ids=["tcp", "others"])
def test_states_as_of_the_tracker(bed, make):
    """Each packet through the switch, one after the other: its rules count as many of each state as the tracker alone,
    which tests/e2e/test_track.py has beside Linux."""
    rng = random.Random("states")
    talks = [make(rng, number) for number in range(40)]
    for side in SIDES:
        for number, state in enumerate(STATES):
            rule(bed, "%s %d allow state %s" % (side, number, state))
    wanted = collections.Counter()
    for talk in talks:
        talk.packets = [one for one in talk.packets if len(one[1]) <= 1500]
    verdicts = iter(ours([packet for talk in talks for _, packet in talk.packets]))
    for talk in talks:
        for from_fw, packet in talk.packets:
            sender, receiver = SIDES["out" if from_fw else "in"]
            wanted["out" if from_fw else "in", next(verdicts)] += 1
            bed.wires[sender].send(frame_of(packet, from_fw))
            assert bed.wires[receiver].receive() == frame_of(packet, from_fw)
    shown = {(row["side"], row["match"].removeprefix("state ")): row["packets"] for row in bed.switch.ctl("rule show " + FW)
             if row["rule"] != "default"}
    assert shown == {(side, state): wanted[side, state] for side in SIDES for state in STATES}
    assert min(wanted[side, state] for side in SIDES for state in ("new", "established", "invalid")) > 10


@pytest.mark.asan
def test_state_of_fragments_is_untracked(bed):
    """What has no ports is nobody's; a rule about addresses decides."""
    rule(bed, "in 1 allow state untracked")
    rule(bed, "in 2 drop")
    later = bytes.fromhex("45000024000720050011000000000000") + bytes([10, 9, 0, 1]) + bytes(16)
    whole = bytes.fromhex("45000024000700000011000000000000") + bytes([10, 9, 0, 1]) + bytes(16)
    for packet in (whole, later):
        bed.wires["peer"].send(frame_of(packet[:12] + bytes([10, 9, 0, 2]) + packet[16:], 0))
    assert bed.wires["fw"].receive()[14 + 6:14 + 8] == b"\x20\x05"
