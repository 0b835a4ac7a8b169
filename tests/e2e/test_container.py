# SPDX-License-Identifier: BSD-3-Clause
"""A container as a tenant beside VMs: a process in namespaces of its own, with nothing of the host's but the directory
of its socket."""

import os
import time

import pytest

from peer import Peer

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
# As in docs/containers.md.
ENTER = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", """
    mount -t tmpfs none /run
    mkdir /run/vhost
    mount --bind "$1" /run/vhost
    mount -t tmpfs none /tmp
    shift
    exec "$@" """, "container"]


def tenant(directory, mac):
    return Peer("/run/vhost/tenant.sock", mac, within=[*ENTER, directory])


def inside(peer, path):
    """What a path of the container's is, from here."""
    with open("/proc/%d/task/%d/children" % (peer.process.pid, peer.process.pid)) as stream:
        return "/proc/%s/root%s" % (stream.read().split()[0], path)


def is_up(switch, name):
    switch.wait_for(lambda: switch.port(name)["state"] == "up", 10, lambda: switch.port(name))


@pytest.fixture
def ports(switch):
    """The tenant's socket is in a directory of its own, the other's is not. Returns the directory."""
    directory = switch.dir + "/tenant"
    os.mkdir(directory)
    switch.ctl("port add tenant vhost %s/tenant.sock" % directory)
    switch.ctl("port add other vhost %s/other.sock" % switch.dir)
    switch.ctl("vm add tenant port tenant mac " + A)
    switch.ctl("vm add other port other mac " + B)
    return directory


def send(switch, source, target, mac):
    """For a while, until nothing is on its way."""
    target.run("rxonly")
    source.run("txonly", mac)
    time.sleep(0.5)
    source.stop()
    before = None
    while before != switch.drops():
        before = switch.drops()
        time.sleep(0.2)
    target.stop()


def test_traffic_both_ways(switch, ports):
    with tenant(ports, A) as a, Peer(switch.dir + "/other.sock", B) as b:
        is_up(switch, "tenant")
        is_up(switch, "other")
        assert os.listdir(inside(a, "/run/vhost")) == ["tenant.sock"] and os.listdir(inside(a, "/tmp")) == []
        with open(inside(a, "/proc/1/net/dev")) as stream:
            assert [line.split(":")[0].strip() for line in stream if ":" in line] == ["lo"]
        send(switch, a, b, B)
        send(switch, b, a, A)
        sent, got = a.stats(), b.stats()
        for name, ours, theirs in (("tenant", sent, got), ("other", got, sent)):
            port = switch.port(name)
            assert port["rx_packets"] == ours["TX-packets"] == port["forwarded"] + port["dropped"] > 1000
            assert port["forwarded"] == theirs["RX-packets"] > 1000
            assert {reason for reason, count in port["drops"].items() if count} <= {"tx_full"}


def test_it_speaks_for_itself_only(switch, ports):
    """With the other's MAC, and with one that nobody has: nothing gets through, nobody is learned."""
    with Peer(switch.dir + "/other.sock", B) as b:
        is_up(switch, "other")
        for mac in (B, "02:00:00:00:00:0c"):
            before = switch.port("tenant")["drops"]["spoofed"]
            with tenant(ports, mac) as a:
                is_up(switch, "tenant")
                send(switch, a, b, B)
                port = switch.port("tenant")
                assert port["drops"]["spoofed"] - before == a.stats()["TX-packets"] > 1000
                assert port["drops"]["spoofed"] == port["rx_packets"] == port["dropped"]
        assert b.stats()["RX-packets"] == 0
        assert {(row["mac"], row["port"]) for row in switch.ctl("fdb show")} == {(A, "tenant"), (B, "other")}


def test_it_is_killed(switch, ports):
    """In the middle of traffic; the next one takes its place."""
    with Peer(switch.dir + "/other.sock", B) as b:
        for _ in range(2):
            with tenant(ports, A) as a:
                is_up(switch, "tenant")
                is_up(switch, "other")
                b.run("txonly", A)
                a.run("rxonly")
                got = switch.port("tenant")["tx_packets"]
                switch.wait_for(lambda: switch.port("tenant")["tx_packets"] > got + 1000, 10)
                a.kill()
                switch.wait_for(lambda: switch.port("tenant")["state"] != "up", 5, "its end was not noticed")
                b.stop()
        port = switch.port("other")
        assert port["rx_packets"] == b.stats()["TX-packets"] == port["forwarded"] + port["dropped"]
