# SPDX-License-Identifier: BSD-3-Clause
"""Ports of other kinds than vhost-user, each with a kernel or a DPDK process on the other end: every frame comes out as
it went in, and all parties count the same."""

import contextlib
import json
import socket
import time

import pytest
from scapy.packet import Raw

from frontend import CSUM, HOST_TSO4, HOST_TSO6, Frontend
from lbnet import Host, ip, two_workers
from peer import Pmd
from unfinished import PACKETS, finished, head, segments, tcp, unfinished
from wire import Steady, Wire, make_frame, not_leaking

KINDS = ["af_packet", "af_xdp", "tap", "memif"]
SIZES = [60, 61, 62, 63, 64, 65, 127, 128, 191, 192, 193, 256, 511, 512, 1023, 1024, 1280, 1500, 1513, 1514]
TAGS = [None, 1, 4094, 5 << 13 | 77]  # VLANs, one with a priority


class Memif(Host):
    """A host behind a memif: testpmd carries its frames from the veth to the memif and back."""

    peer = None

    def attach(self):
        path = "%s/%s.memif" % (self.switch.dir, self.name)
        self.switch.ctl("port add %s dev net_memif_%s,role=server,socket=%s,socket-abstract=no" % (
            self.name, self.name, path))
        self.end_peer()  # DPDK's client connects when it is started, and not again by itself
        self.peer = Pmd(["net_memif0,role=client,socket=%s,socket-abstract=no" % path,
                         "net_af_packet1,iface=" + self.outside])
        self.peer.run("io")
        self.wait_for_port()

    def end_peer(self):
        if self.peer is not None:
            self.peer.kill()
            self.peer.__exit__()

    def close(self):
        self.end_peer()
        super().close()


def counters(host):
    """Of the other end: its driver's or its kernel's."""
    if isinstance(host, Memif):
        return {name.lower(): value for name, value in host.peer.stats(0).items()}
    found = json.loads(host.ip("-s", "-j", "link", "show", "eth0"))[0]["stats64"]
    return {"%s-%s" % (way, what): found[way][what] for way in ("rx", "tx") for what in ("packets", "bytes")}


def telemetry(switch, command):
    """An answer of DPDK's own telemetry."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(switch.runtime + "/dpdk_telemetry.v2")
        client.recv(4096)
        client.send(command.encode())
        return json.loads(client.recv(1 << 16))[command.split(",")[0]]


def device(switch, name):
    """Counters of the device behind a port."""
    where = switch.port(name)["where"]
    for number in telemetry(switch, "/ethdev/list"):
        if telemetry(switch, "/ethdev/info,%d" % number)["name"] == where:
            return telemetry(switch, "/ethdev/stats,%d" % number)
    raise AssertionError("no device " + where)


@pytest.fixture
def make_host(switch):
    with contextlib.ExitStack() as stack:
        def make(kind, name, number):
            host = Memif(switch, name, number, [], kind) if kind == "memif" else Host(switch, name, number, [], kind)
            stack.callback(host.close)
            return host
        yield make


def make_vms(switch, *hosts):
    """So that their MACs are known, and nothing is flooded."""
    for host in hosts:
        switch.ctl("vm add %s port %s mac %s" % (host.name, host.name, host.mac))


@pytest.mark.parametrize("kind", not_leaking(KINDS))
def test_to_the_byte(switch, make_host, kind):
    one, two = make_host(kind, "one", 1), make_host(kind, "two", 2)
    make_vms(switch, one, two)
    before = {host.name: (switch.port(host.name), counters(host)) for host in (one, two)}
    with Wire(one) as a, Wire(two) as b:
        for source, target, here, there in ((one, two, a, b), (two, one, b, a)):
            frames = [make_frame(source.mac, target.mac, size, tag) for size in SIZES for tag in TAGS]
            for frame in frames:
                here.send(frame)
            assert there.receive_all(len(frames)) == frames
    ends = {"rx-packets": len(frames), "rx-bytes": sum(map(len, frames))}
    ends.update({"tx" + name[2:]: value for name, value in ends.items()})
    if kind == "af_xdp":
        del ends["tx-bytes"]  # a veth's, to a peer with XDP: without the Ethernet headers
    for host in (one, two):
        port, theirs, own = switch.port(host.name), counters(host), device(switch, host.name)
        assert [port[name] for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")] == \
            [own[name] for name in ("ipackets", "ibytes", "opackets", "obytes")]
        port_before, theirs_before = before[host.name]  # a tap's kernel has said something before it was moved
        assert {name: theirs[name] - theirs_before[name] for name in ends} == ends
        assert [port[name] - port_before[name] for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")] == \
            [len(frames), sum(map(len, frames))] * 2
        assert port["forwarded"] - port_before["forwarded"] == len(frames) and port["dropped"] == port_before["dropped"]


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_lost(switch, make_host, kind):
    """On a long way: from one worker's port to another's, so that each packet buffer has its turn."""
    two_workers(switch)
    switch.ctl("worker balance off")
    # A second testpmd would be one poller too many for two cores.
    two, one = make_host(kind, "two", 2), make_host("af_packet" if kind == "memif" else kind, "one", 1)
    make_vms(switch, one, two)
    count = 2000 if kind == "memif" else 30000
    with Wire(one) as a, Wire(two) as b:
        head = make_frame(one.mac, two.mac, 300)
        for first in range(0, count, 100):
            marks = [b"%06d" % i for i in range(first, first + 100)]
            for mark in marks:
                a.send(head + mark)
            assert [frame[-6:] for frame in b.receive_all(100)] == marks
    assert switch.port("one")["workers"] != switch.port("two")["workers"]
    assert switch.port("two")["tx_packets"] == count == switch.port("one")["forwarded"]


@pytest.mark.parametrize("kind", KINDS)
def test_port_comes_and_goes(switch, make_host, kind):
    """Again and again on the same interface, and the others do not notice."""
    with Steady(switch) as steady:
        one, two = make_host(kind, "one", 1), make_host("af_packet", "two", 2)
        for turn in range(3):
            before = switch.port("one")
            with Wire(one) as a, Wire(two) as b:
                for source, target, here, there in ((one, two, a, b), (two, one, b, a)):
                    frames = [make_frame(source.mac, target.mac, size) for size in SIZES]
                    for frame in frames:
                        here.send(frame)
                    assert there.receive_all(len(frames)) == frames
            port = switch.port("one")
            assert (port["rx_packets"] - before["rx_packets"], port["dropped"]) == (len(SIZES), before["dropped"])
            switch.ctl("port del one")
            one.attach()
        steady.end()


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp"])
def test_hears_nothing_else(switch, make_host, kind):
    """Frames of other interfaces, while it is made."""
    with Steady(switch) as steady:
        one = make_host(kind, "one", 1)
        for _ in range(10):
            assert switch.port("one")["rx_packets"] == 0
            switch.ctl("port del one")
            one.attach()
        steady.end()


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp", "tap"])
def test_link(switch, make_host, kind):
    """Up as long as frames can get through; of a tap in another namespace that is not known, and it is up."""
    one = make_host(kind, "one", 1)
    if kind == "tap":
        time.sleep(2.2)  # the link is looked at each second
        assert switch.port("one")["state"] == "up"
        switch.ctl("port add here dev net_tap_here,iface=" + one.outside)
    for state in ("down", "up", "down", "up"):
        if kind == "tap":
            ip("link", "set", one.outside, state)
        else:
            one.ip("link", "set", "eth0", state)
        switch.wait_for(lambda: switch.port("here" if kind == "tap" else "one")["state"] == state, 5, "not " + state)


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp"])
def test_longer_than_the_mtu(switch, make_host, kind):
    """What the interface would not take has a name, and is not counted as sent."""
    one, two = make_host("tap", "one", 1), make_host(kind, "two", 2)
    make_vms(switch, one, two)
    one.ip("link", "set", "eth0", "mtu", "2000")
    with Wire(one) as a, Wire(two) as b:
        for mtu in (1500, 1000):
            switch.ctl("vm del two")
            switch.ctl("port del two")
            two.ip("link", "set", "eth0", "mtu", str(mtu))
            ip("link", "set", two.outside, "mtu", str(mtu))
            two.attach()
            switch.ctl("vm add two port two mac " + two.mac)
            before = switch.port("one")["drops"]["too_big"]
            longest = make_frame(one.mac, two.mac, mtu + 14, 7)
            for frame in (longest + b"x", longest + b"1234", longest):
                a.send(frame)
            assert b.receive() == longest
            assert switch.port("two")["max_frame"] == mtu + 18 and switch.port("two")["tx_packets"] == 1
            assert switch.port("one")["drops"]["too_big"] - before == switch.port("two")["tx_refused"] == 2


@pytest.mark.parametrize("kind", not_leaking(KINDS))
def test_unfinished(switch, make_host, kind):
    """What a guest left to be finished comes out finished, whatever the driver says that it can."""
    host = make_host(kind, "host", 1)
    wire, data = Wire(host), bytes(range(256)) * 14
    switch.ctl("port add v vhost %s/v.sock" % switch.dir)
    assert switch.port("host")["takes"] == "-"
    left = [unfinished(packet) for packet in PACKETS.values()]
    left += [unfinished(head(version, tcp()) / Raw(data), gso_size=1000) for version in (4, 6)]
    with Frontend(switch.dir + "/v.sock", CSUM | HOST_TSO4 | HOST_TSO6) as peer:
        peer.enable()
        for header, frame in left:
            peer.send(frame, header)
            peer.wait(lambda: peer.taken() == peer.sent)
    expected = [finished(packet) for packet in PACKETS.values()] + segments(4, data, 1000) + segments(6, data, 1000)
    assert wire.receive_all(len(expected)) == expected
    port = switch.port("v")
    assert (port["rx_packets"], port["copies"], port["forwarded"]) == (len(left), 6, len(expected))
