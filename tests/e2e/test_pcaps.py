# SPDX-License-Identifier: BSD-3-Clause
"""Captures through the switch, from files to files: nothing is lost, changed or invented. Captures of our own, and all
that lie in ../shared/pcaps where that is there."""

import glob
import os
import random

import pytest
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether, LLC
from scapy.packet import Raw

from filters import random_frames, read_pcap, write_pcap
from learning import Learning
from switch import ROOT, Switch

SHARED = sorted(glob.glob(os.path.dirname(ROOT) + "/shared/pcaps/*.pcap"))
LARGEST = 16128  # bytes of a frame
HOSTS = ["02:00:00:00:01:%02x" % i for i in range(5)]


def conversation():
    """Each host with each other one, in whatever protocol comes."""
    rng = random.Random("conversation")
    frames = []
    for number in range(400):
        a, b = rng.sample(HOSTS, 2)
        ether = Ether(src=a, dst=rng.choice([b, b, b, "ff:ff:ff:ff:ff:ff"]))
        ip = IP(src="10.0.0.1", dst="10.0.0.2", id=number)
        frames.append(bytes(rng.choice([
            ether / ARP(), ether / ip / TCP() / Raw(rng.randbytes(rng.randrange(1400))), ether / ip / UDP() / b"xx",
            ether / IPv6() / UDP() / b"six", ether / Dot1Q(vlan=rng.choice([0, 7, 4095])) / ip / ICMP(),
            ether / Dot1AD(vlan=9) / Dot1Q(vlan=7) / ip / UDP(), ether / ip / GRE() / IP() / UDP()])))
    return frames


def oddities():
    """What no host should send: too short, from a group, to and from itself, unknown types, cut tags."""
    a, b = (bytes.fromhex(mac.replace(":", "")) for mac in HOSTS[:2])
    frames = [bytes(range(size)) for size in range(1, 14)] + [b + a + b"\x08\0", b + a + b"\x81\0", b + a + b"\x81\0\0\7\x08"]
    frames += [a + a + b"\x08\0" + bytes(46), b + b"\x01" + a[1:] + b"\x08\0" + bytes(46), b + bytes(6) + b"\x88\xb5",
               bytes(6) + a + b"\x08\0", b"\xff" * 12 + b"\xff\xff" * 20]
    frames.append(bytes(Ether(src=HOSTS[0], dst=HOSTS[1]) / LLC() / b"no EtherType but a length"))
    return frames


def large():
    """Jumbo frames and fragments, to the largest that DPDK's capture files take, and a byte beyond that."""
    ether = Ether(src=HOSTS[0], dst=HOSTS[1])
    frames = [bytes(ether / part) for part in fragment(IP(dst="10.0.0.2") / UDP() / Raw(b"f" * 30000), 1480)]
    return frames + [bytes(ether / Raw(random.Random(n).randbytes(n))) for n in (1500, 2034, 2035, 4096, 9000, LARGEST - 14, LARGEST - 13)]


def randomised():
    return [frame.data for frame in random_frames(random.Random("pcaps"), HOSTS, 800)]


OWN = {"conversation": conversation, "oddities": oddities, "large": large, "randomised": randomised}


@pytest.fixture(params=list(OWN) + SHARED, ids=lambda which: os.path.basename(which))
def frames(request):
    return OWN[request.param]() if request.param in OWN else read_pcap(request.param)


@pytest.fixture(scope="module")
def shared_switch():
    """One for all captures, whose ports come and go."""
    with Switch() as switch:
        yield switch
        switch.stop()


@pytest.fixture
def bed(shared_switch, tmp_path):
    made = Bed(shared_switch, tmp_path)
    yield made
    made.close()


class Bed:
    def __init__(self, switch, directory):
        self.switch, self.directory, self.model, self.ports = switch, directory, Learning(LARGEST), []

    def file(self, name):
        return "%s/%s.pcap" % (self.directory, name)

    def add(self, name, frames=(), learn=True):
        """A port that gives these frames, and writes what it gets. Waits until all have been dealt with."""
        self.model.add(name)
        for frame in frames:
            self.model.feed(name, frame, learn)
        devargs = "net_pcap_%s,tx_pcap=%s" % (name, self.file(name))
        if frames:
            devargs += ",rx_pcap=" + write_pcap(self.file(name + "-in"), frames)
        self.switch.ctl("port add %s dev %s learn %s" % (name, devargs, "on" if learn else "off"))
        self.ports.append(name)

        def done():
            port = self.switch.port(name)
            return port["rx_packets"] == len(frames) and port["rx_packets"] + port["copies"] == (
                port["forwarded"] + port["dropped"])
        self.switch.wait_for(done, 20, lambda: "not all frames were dealt with: %s" % self.switch.port(name))

    def check(self):
        """All that each port wrote, every counter, every drop."""
        sizes = {name: self.switch.port(name) for name in self.ports}
        for reason in sizes[self.ports[0]]["drops"]:
            assert sum(port["drops"][reason] for port in sizes.values()) == self.model.drops.get(reason, 0), reason
        self.close()
        for name, frames in self.model.out.items():
            assert read_pcap(self.file(name)) == frames, name
            assert sizes[name]["tx_packets"] == len(frames)
            assert sizes[name]["tx_bytes"] == sum(map(len, frames))
        assert self.switch.ctl("fdb show") == []

    def close(self):
        while self.ports:
            self.switch.ctl("port del " + self.ports.pop())


def test_nothing_is_learned(bed, frames):
    """All of it goes everywhere, to the byte and in order."""
    bed.add("one")
    bed.add("two")
    bed.add("in", frames, learn=False)
    bed.check()
    whole = [frame for frame in frames if 14 <= len(frame) <= LARGEST]
    assert bed.model.out["one"] == bed.model.out["two"] == whole


def test_hosts_behind_three_ports(bed, frames):
    """One port after the other speaks, each for hosts of its own: what was learned of the earlier ones tells where the
    later ones' frames go."""
    sources = sorted({frame[6:12] for frame in frames})
    bed.add("listener")
    for turn in range(3):
        mine = sources[turn::3]
        bed.add("speaker%d" % turn, [frame for frame in frames if frame[6:12] in mine])
    bed.check()


def test_own_captures_meet_every_case():
    """Else the tests above would test little where ../shared is not there."""
    model = Learning(LARGEST)
    for port in "abc":
        model.add(port)
    for make in OWN.values():
        frames = make()
        for frame in frames:
            model.feed("abc"[sum(frame[6:12]) % 3], frame)
    assert min(model.drops[reason] for reason in ("runt", "same_port", "too_big")) > 0 and min(map(len, model.out.values())) > 100
    assert len({len(frame) for frames in model.out.values() for frame in frames}) > 100
