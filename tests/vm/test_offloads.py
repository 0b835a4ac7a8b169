# SPDX-License-Identifier: BSD-3-Clause
"""Checksums and TCP segments that guests leave to be finished: untouched from guest to guest, finished before a wire.
Kernels check what comes: those of the guests, and that of a namespace whose veth computes nothing."""

import contextlib
import hashlib
import http.client
import os
import socket
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest  # noqa: E402
from lbnet import Host  # noqa: E402
from switch import Switch  # noqa: E402

SIZE = 4 << 20
# Whoever has it takes nothing unfinished.
PLAIN = "guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
GUESTS = {"a": ("52:54:00:00:00:01", ""), "b": ("52:54:00:00:00:02", ""), "plain": ("52:54:00:00:00:03", PLAIN)}


class Lab:
    """Guests a, b and plain, and a host of a namespace, one switch. Each guest serves the same file."""

    def __init__(self, stack):
        self.switch = stack.enter_context(Switch(name="offloads"))
        self.guest = {}
        for number, (name, (mac, options)) in enumerate(GUESTS.items(), 1):
            path = "%s/%s.sock" % (self.switch.dir, name)
            # librte_vhost reads and writes the same headers.
            self.switch.ctl("port add %s vhost %s rings %s" % (name, path, "librte" if name == "b" else "own"))
            self.switch.ctl("vm add %s port %s mac %s" % (name, name, mac))
            self.guest[name] = guest = Guest("off-" + name, [(path, mac)], ip="10.0.0.%d/24" % number, net_options=options)
            stack.callback(guest.close)
            guest.start()
        self.host = Host(self.switch, "host", 21, ["10.0.0.21/24"])
        stack.callback(self.host.close)
        for number, guest in enumerate(self.guest.values(), 1):
            guest.wait_ready(120)
            guest.check("echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip addr add fd00::%d/64 dev eth0 nodad; mkdir /www; head -c %d /dev/urandom > /www/file; "
                        "httpd -p 80 -h /www" % (number, SIZE))

    def hash(self, name):
        return self.guest[name].check("sha256sum /www/file").split()[0]

    def fetch(self, client, server, address):
        """One guest loads the other's file. Its hash, and how the counters of both ports grew."""
        before = self.counters()
        got = self.guest[client].check("wget -q -O - http://%s/file | sha256sum" % address, 60).split()[0]
        assert got == self.hash(server)
        return self.grown(before)

    def counters(self):
        return {name: self.switch.port(name) for name in [*self.guest, "host"]}

    def grown(self, before):
        after = self.counters()
        return {name: {key: value - before[name][key] for key, value in row.items() if isinstance(value, int)}
                for name, row in after.items()}


@pytest.fixture(scope="module")
def lab():
    with contextlib.ExitStack() as stack:
        yield Lab(stack)


@pytest.mark.parametrize("address", ["10.0.0.%d", "[fd00::%d]"])
def test_untouched_between_guests(lab, address):
    assert lab.switch.port("b")["takes"] == "csum,tso4,tso6"
    for client, server in ("ba", "ab"):
        ports = lab.fetch(client, server, address % " ab".index(server))
        sent = ports[server]
        assert sent["rx_bytes"] / sent["rx_packets"] > 4000  # segments would have 1514
        assert sent["forwarded"] == sent["rx_packets"] and sent["copies"] == 0
        assert abs(ports[client]["tx_bytes"] - sent["rx_bytes"]) < 2000  # others have something to say, too


@pytest.mark.parametrize("address", ["10.0.0.1", "[fd00::1]"])
def test_finished_for_a_guest_that_takes_nothing(lab, address):
    assert lab.switch.port("plain")["takes"] == "-"
    ports = lab.fetch("plain", "a", address)
    assert ports["a"]["rx_bytes"] / ports["a"]["rx_packets"] > 4000
    assert ports["a"]["copies"] > SIZE / 1448 * 0.7
    assert ports["plain"]["tx_bytes"] / ports["plain"]["tx_packets"] <= 1514


def test_finished_for_a_wire(lab):
    before, errors = lab.counters(), lab.host.counter("Tcp", "InCsumErrors")
    with lab.host.capture() as wire:
        connection = http.client.HTTPConnection("10.0.0.1")
        connection.sock = lab.host.socket(socket.AF_INET, socket.SOCK_STREAM, timeout=30)
        connection.sock.connect(("10.0.0.1", 80))
        connection.request("GET", "/file")
        got = hashlib.sha256(connection.getresponse().read()).hexdigest()
        connection.close()
        wire.setblocking(False)
        longest = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                longest = max(longest, len(wire.recv(1 << 16)))
    assert got == lab.hash("a")
    assert longest == 1514
    assert lab.host.counter("Tcp", "InCsumErrors") == errors
    a = lab.grown(before)["a"]
    assert a["copies"] > 500 and a["rx_packets"] + a["copies"] == a["forwarded"] + a["dropped"]


def test_udp_checksum(lab):
    errors = lab.host.counter("Udp", "InCsumErrors")
    server = lab.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 53))
    job = lab.guest["a"].spawn("nslookup example.test 10.0.0.21", 20)
    assert b"example" in server.recv(1000)  # the kernel drops what has a wrong checksum
    assert lab.host.counter("Udp", "InCsumErrors") == errors
    job.stop()
    server.close()


def test_redirected(lab):
    """The switch changes the addresses that an unfinished checksum covers."""
    box, errors = GUESTS["plain"][0], lab.host.counter("Tcp", "InCsumErrors")
    lab.host.serve()
    lab.switch.ctl("R L %s 10.0.0.3 0 0.0.0.0 10.0.0.21" % box)
    lab.switch.wait_for(lambda: lab.switch.ctl("stage show plain")["lb"][0]["backend_mac"] == lab.host.mac, 10,
                        lambda: lab.switch.ctl("stage show plain"))
    before = lab.counters()
    said = lab.guest["a"].check("(echo %d 0; cat /www/file; sleep 2) | nc 10.0.0.3 80" % SIZE, 60).split()
    assert said == ["host", "10.0.0.1", lab.hash("a")]
    ports = lab.grown(before)
    assert ports["a"]["copies"] > 20  # how much a guest puts into one packet is its own affair
    assert lab.host.counter("Tcp", "InCsumErrors") == errors
    lab.switch.ctl("X " + box)


def test_saved_features(lab):
    """What a guest has negotiated is offered again, and no more than that."""
    lines = {line.split()[2]: line for line in lab.switch.ctl("save").splitlines() if line.startswith("port add")}
    features = {name: int(lines[name].split()[-1], 16) for name in GUESTS}
    assert features["a"] & 0x1983 == 0x1983 and features["plain"] & 0x1983 == 0x1801
    with Switch(config=[lines["plain"].replace(lab.switch.dir, "/tmp")], name="pinned") as other:
        assert other.ctl("save").splitlines()[0] == lines["plain"].replace(lab.switch.dir, "/tmp")


def test_no_offloads(lab):
    """A port without them: the guest finishes its packets itself."""
    lab.guest["b"].close()
    lab.switch.ctl("vm del b")
    lab.switch.ctl("port del b")
    path = lab.switch.dir + "/b.sock"
    lab.switch.ctl("port add b vhost %s offloads off" % path)
    lab.switch.ctl("vm add b port b mac " + GUESTS["b"][0])
    with Guest("off-off", [(path, GUESTS["b"][0])], ip="10.0.0.2/24") as guest:
        assert "tx-checksumming: off" in guest.check("ethtool -k eth0")
        got = guest.check("wget -q -O - http://10.0.0.1/file | sha256sum", 60).split()[0]
        assert got == lab.hash("a")
        assert lab.switch.port("b")["takes"] == "-"
