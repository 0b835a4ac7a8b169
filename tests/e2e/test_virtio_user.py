# SPDX-License-Identifier: BSD-3-Clause
"""vhost-user ports with DPDK's virtio driver on the other end: what its counters say is what the switch's say."""

import contextlib
import time

import pytest

from peer import Peer

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


class Pair:
    """Peer a sends, peer b receives; both are VMs."""

    def __init__(self, switch, stack, options="server", device="", arguments=()):
        self.switch, self.stack = switch, stack
        for name, mac in (("a", A), ("b", B)):
            switch.ctl("port add %s vhost %s %s" % (name, self.path(name), options))
            switch.ctl("vm add %s port %s mac %s" % (name, name, mac))
        self.arguments = {"server": "client" in options, "device": device, "arguments": arguments}
        self.a, self.b = self.peer("a"), self.peer("b")

    def path(self, name):
        return "%s/%s.sock" % (self.switch.dir, name)

    def peer(self, name):
        peer = self.stack.enter_context(Peer(self.path(name), {"a": A, "b": B}[name], **self.arguments))
        self.switch.wait_for(lambda: self.switch.port(name)["state"] == "up", 10, lambda: self.switch.port(name))
        return peer

    def send(self, sizes="64", seconds=0.5):
        """Let a send to b for a while, and wait until all has arrived."""
        self.b.run("rxonly")
        self.a.run("txonly", B, sizes)
        time.sleep(seconds)
        self.a.stop()
        sent = self.a.stats()["TX-packets"]
        self.switch.wait_for(lambda: self.switch.port("a")["rx_packets"] >= sent, 10, "not all is received", 0.1)
        last = [None, None]

        def still():
            last[:] = last[1], self.switch.drops()
            return last[0] == last[1] and not last[1]["in_flight"]
        self.switch.wait_for(still, 5, "packets are still on their way", 0.1)
        self.b.stop()

    def check(self, size):
        """Every packet is accounted for, by both ends."""
        sent, got = self.a.stats(), self.b.stats()
        a, b = self.switch.port("a"), self.switch.port("b")
        assert sent["TX-packets"] > 1000
        assert (a["rx_packets"], a["rx_bytes"]) == (sent["TX-packets"], sent["TX-packets"] * size)
        assert a["rx_packets"] + a["copies"] == a["forwarded"] + a["dropped"]
        assert {reason for reason, count in a["drops"].items() if count} <= {"tx_full"}
        assert (b["tx_packets"], b["tx_bytes"]) == (got["RX-packets"], got["RX-packets"] * size)
        assert got["RX-packets"] == a["forwarded"] > 1000
        assert b["tx_refused"] == a["drops"]["tx_full"]


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.asan
@pytest.mark.parametrize("device,rings,served", [
    ("", "own", "own"), ("", "librte", "librte"), ("packed_vq=1", "own", "librte"), ("in_order=1", "own", "own"),
    ("mrg_rxbuf=0", "own", "own")], ids=["split", "split by librte", "packed", "in-order", "not mergeable"])
def test_counters_agree(switch, stack, device, rings, served):
    pair = Pair(switch, stack, options="rings " + rings, device=device)
    assert switch.port("a")["rings"] == switch.port("b")["rings"] == served
    pair.send()
    pair.check(64)


@pytest.mark.asan
@pytest.mark.parametrize("rings", ["own", "librte"])
@pytest.mark.parametrize("sizes", ["1514", "2000,2000,2000,2000,1014"], ids=["1514", "9014"])
def test_sizes(switch, stack, sizes, rings):
    pair = Pair(switch, stack, options="rings " + rings, arguments=["--tx-offloads=0x8000", "--rx-offloads=0x2000"])
    pair.send(sizes)
    pair.check(sum(map(int, sizes.split(","))))


@pytest.mark.asan
def test_client_mode(switch, stack):
    """The peer makes the socket; it may come after the port, and come again."""
    pair = Pair(switch, stack, "client")
    pair.send()
    pair.check(64)
    before = switch.port("b")["tx_packets"]
    pair.b.kill()
    switch.wait_for(lambda: switch.port("b")["state"] != "up", 5, "its end was not noticed")
    pair.a.run("txonly", B)
    switch.wait_for(lambda: switch.port("a")["drops"]["link_down"] > 1000, 5, lambda: switch.port("a"))
    pair.a.stop()
    pair.b = pair.peer("b")
    pair.send()
    assert pair.b.stats()["RX-packets"] == switch.port("b")["tx_packets"] - before > 1000


@pytest.mark.asan
def test_peer_that_dies(switch, stack):
    """In the middle of traffic, ten times: the other one does not notice, and nothing is unaccounted for."""
    pair = Pair(switch, stack)
    pair.a.run("txonly", B)
    for turn in range(5):
        pair.b.run("rxonly")
        got = switch.port("b")["tx_packets"]
        switch.wait_for(lambda: switch.port("b")["tx_packets"] > got + 1000, 10, "no packets in round %d" % turn)
        pair.b.kill()
        switch.wait_for(lambda: switch.port("b")["state"] != "up", 5, "its end was not noticed")
        pair.b = pair.peer("b")
    pair.a.stop()
    switch.wait_for(lambda: not switch.drops()["in_flight"], 5)
    a = switch.port("a")
    assert a["rx_packets"] == pair.a.stats()["TX-packets"] == a["forwarded"] + a["dropped"]
    assert {reason for reason, count in a["drops"].items() if count} <= {"tx_full", "link_down"}


@pytest.mark.asan
def test_second_guest_at_a_socket(switch, stack):
    """It is not served; the first one does not notice, and a third finds the place free when the first goes."""
    pair = Pair(switch, stack)
    pair.b.run("rxonly")
    pair.a.run("txonly", B)
    with Peer(pair.path("b"), B) as second:
        second.run("rxonly")
        switch.wait_for(lambda: "port b: a second guest at %s is not served" % pair.path("b") in switch.log(), 10)
        sent = switch.port("b")["tx_packets"]
        switch.wait_for(lambda: switch.port("b")["tx_packets"] > sent + 10000, 10, "the first one gets nothing any more")
        second.stop()
        assert second.stats()["RX-packets"] == 0
    assert switch.port("b")["state"] == "up"
    sent = switch.port("b")["tx_packets"]
    switch.wait_for(lambda: switch.port("b")["tx_packets"] > sent + 10000, 10, "the first one gets nothing any more")
    pair.b.kill()
    switch.wait_for(lambda: switch.port("b")["state"] != "up", 5)
    pair.b = pair.peer("b")


@pytest.mark.asan
def test_guest_that_takes_nothing(switch, stack):
    """Its packets are dropped by name at its sender, and nobody else's: the sender still reaches a third."""
    pair = Pair(switch, stack)  # b never forwards: its ring fills up
    switch.ctl("port add c vhost %s" % pair.path("c"))
    pair.a.run("txonly", B)
    switch.wait_for(lambda: switch.port("a")["drops"]["tx_full"] > 10000, 10, lambda: switch.port("a"))
    pair.a.stop()
    sent = pair.a.stats()["TX-packets"]
    switch.wait_for(lambda: switch.port("a")["rx_packets"] == sent, 5, lambda: switch.port("a"))
    full = switch.port("b")["tx_refused"]
    with Peer(pair.path("c"), "02:00:00:00:00:0d") as third:
        switch.wait_for(lambda: switch.port("c")["state"] == "up", 10)
        third.run("txonly", A)  # and is learned
        switch.wait_for(lambda: switch.port("a")["tx_packets"] > 100, 10, lambda: switch.port("a"))
        third.stop()
        third.run("rxonly")
        pair.a.run("txonly", "02:00:00:00:00:0d")
        switch.wait_for(lambda: switch.port("c")["tx_packets"] > 10000, 10, lambda: switch.port("c"))
        pair.a.stop()
        third.stop()
    assert switch.port("b")["tx_refused"] == full == switch.port("a")["drops"]["tx_full"] - switch.port("c")["tx_refused"]


@pytest.mark.asan
def test_port_goes_under_traffic(switch, stack):
    """Both directions of deletion: of the sender's port, of the receiver's."""
    pair = Pair(switch, stack)
    pair.b.run("rxonly")
    pair.a.run("txonly", B)
    switch.wait_for(lambda: switch.port("b")["tx_packets"] > 1000, 5)
    switch.ctl("vm del b")
    switch.ctl("port del b")
    switch.wait_for(lambda: switch.port("a")["drops"]["no_port"] > 1000, 5, lambda: switch.port("a"))
    switch.ctl("vm del a")
    switch.ctl("port del a")
    drops = switch.drops()
    assert drops["received"] + drops["copies"] == drops["sent"] + drops["dropped"] and not drops["in_flight"]


def test_two_workers(switch, stack):
    """Each peer's port belongs to another worker: packets are handed over."""
    from lbnet import two_workers
    two_workers(switch)
    pair = Pair(switch, stack)
    pair.send()
    a, b = switch.port("a"), switch.port("b")
    assert a["workers"] != b["workers"]
    assert a["rx_packets"] == pair.a.stats()["TX-packets"] == a["forwarded"] + a["dropped"]
    assert {reason for reason, count in a["drops"].items() if count} <= {"tx_full", "handoff_full"}
    assert b["tx_packets"] == pair.b.stats()["RX-packets"] == a["forwarded"] > 1000


@pytest.mark.asan
def test_spoofed(switch, stack):
    """A VM that sends with another MAC than its own."""
    pair = Pair(switch, stack)
    switch.ctl("vm del a")
    switch.ctl("vm add a port a mac 02:00:00:00:00:0c")
    pair.send()
    a = switch.port("a")
    assert a["drops"]["spoofed"] == a["dropped"] == a["rx_packets"] == pair.a.stats()["TX-packets"] > 1000
    assert pair.b.stats()["RX-packets"] == 0
