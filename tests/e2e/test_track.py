# SPDX-License-Identifier: BSD-3-Clause
"""The connection tracker beside Linux' own: the same packets through both, verdict by verdict. And recorded
conversations, of which no packet may be invalid."""

import glob
import os
import random
import struct
import subprocess

import pytest

from conntrack import Judge
from conversations import conversation, exchange, recorded
from filters import read_pcap
from switch import BUILD, ROOT

PROGRAM = BUILD + "/tests/unit/track_verdicts"
SHARED = sorted(glob.glob(os.path.dirname(ROOT) + "/shared/pcaps/*.pcap"))
needs_linux = pytest.mark.skipif(not Judge.is_possible(), reason="this kernel has no nf_conntrack")


def ours(packets):
    """The tracker's verdict of each IP packet."""
    data = b"".join(struct.pack("!H", len(packet)) + packet for packet in packets)
    run = subprocess.run([PROGRAM], input=data, capture_output=True, check=True)
    verdicts = run.stdout.decode().split()
    assert len(verdicts) == len(packets)
    return verdicts


@pytest.fixture
def judge():
    made = Judge()
    yield made
    made.close()


def compare(judge, talks):
    """(talk, index, verdict of Linux, ours) of the first difference in each conversation. Linux takes the first numbers
    of a side even from an invalid segment: there is no comparing after that."""
    linux = [[judge.ask(packet, side) for side, packet in talk.packets] for talk in talks]
    mine = iter(ours([packet for talk in talks for _, packet in talk.packets]))
    for talk, verdicts in zip(talks, linux):
        pairs = [(verdict, next(mine)) for verdict in verdicts]
        heard = set()
        for index, (theirs, own) in enumerate(pairs):
            side = talk.packets[index][0]
            if theirs != own:
                yield talk, index, theirs, own
            if theirs != own or (theirs == "invalid" and side not in heard and talk.opens[index] is not None):
                break
            if theirs != "invalid" and talk.opens[index]:
                heard.add(side)
            if index == 0 and not talk.opens[0]:
                heard = {0, 1}  # picked up on its way


def describe(difference):
    talk, index, theirs, own = difference
    return "conversation %d: Linux %s, ours %s of the last of:\n%s" % (
        talk.number, theirs, own, "\n".join(talk.notes[max(0, index - 15):index + 1]))


@needs_linux
@pytest.mark.parametrize("odd, share", [(0, 0.01), (0.05, 0.03), (0.3, 0.1)])
def test_tcp_as_linux(judge, odd, share):
    """What remains, in a few conversations, are states that no host which means well reaches: an invalid segment leaves
    no trace with us, an RST within a connection picked up on its way is invalid to Linux by the luck of its numbers,
    and what is let through is not remembered with all that it said. Of the hosts that mean well,
    tests/unit/test_track_hosts.c has more."""
    rng = random.Random("tcp as linux %s" % odd)
    talks = [conversation(rng, number, odd) for number in range(2000)]
    found = list(compare(judge, talks))
    assert len(found) <= share * len(talks), describe(found[0])


@needs_linux
def test_others_as_linux(judge):
    """UDP, ICMP queries, and ICMP errors about all of them, of which some are cut or about something else."""
    rng = random.Random("others as linux")
    found = list(compare(judge, [exchange(rng, number) for number in range(2000)]))
    assert not found, describe(found[0])


@pytest.mark.skipif(not SHARED, reason="no captures")
def test_recorded():
    """In a TCP connection that was recorded from its SYN on, in both directions, nothing is invalid."""
    talks = [talk for path in SHARED if "malformed" not in path for talk in recorded(read_pcap(path))]
    assert len(talks) > 10
    for talk in talks:
        assert "invalid" not in ours([packet for _, packet in talk.packets]), talk.notes


@needs_linux
@pytest.mark.skipif(not SHARED, reason="no captures")
def test_recorded_as_linux(judge):
    """All that was recorded of TCP, also what is not complete."""
    talks = [talk for path in SHARED for talk in recorded(read_pcap(path), complete=False)]
    found = list(compare(judge, talks))
    assert not found, describe(found[0])
