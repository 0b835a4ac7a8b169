# SPDX-License-Identifier: BSD-3-Clause
"""The learning switch among kernels in namespaces: who sees what, moves, and the MACs of VMs."""

import select
import time

import pytest
from scapy.layers.l2 import Ether

from lbnet import Connection, Host, ping, two_workers, who

IPS = {"one": "10.0.0.1", "two": "10.0.0.2", "three": "10.0.0.3"}


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def hosts(switch, request):
    if request.param == 2:
        two_workers(switch)
    made = []
    try:
        for number, (name, ip) in enumerate(IPS.items(), 1):
            made.append(Host(switch, name, number, [ip + "/24"]))
            made[-1].serve()
        yield made
    finally:
        for host in made:
            host.close()


def frames(capture, mark, seconds=0.4):
    """How many incoming frames with this mark arrive within that time."""
    end, count = time.monotonic() + seconds, 0
    while select.select([capture], [], [], max(0, end - time.monotonic()))[0]:
        data, address = capture.recvfrom(1 << 16)
        count += mark in data and address[2] != 4  # 4: outgoing
    return count


def accounted(switch):
    drops = switch.drops()
    return not drops["in_flight"] and drops["received"] + drops["copies"] == drops["sent"] + drops["dropped"]


def test_all_reach_all(switch, hosts):
    for a in hosts:
        for b in hosts:
            if a is not b:
                assert who(a, IPS[b.name]) == b.name and ping(a, IPS[b.name], 1400) == b.ttl
    with Connection(hosts[0], IPS["two"]) as connection:
        connection.transfer(4 << 20, 4 << 20)
    known = {(row["mac"], row["port"]) for row in switch.ctl("fdb show")}
    assert known == {(host.mac, host.name) for host in hosts}
    switch.wait_for(lambda: accounted(switch), 5, lambda: "not accounted: %s" % switch.drops())


def test_who_sees_what(switch, hosts):
    """Unknown and broadcast: all others, once. Known: its port only."""
    one, two, three = hosts
    with one.capture() as a, two.capture() as b, three.capture() as c:
        a.send(bytes(Ether(src=one.mac, dst="ff:ff:ff:ff:ff:ff") / b"broadcast"))
        assert [frames(x, b"broadcast") for x in (a, b, c)] == [0, 1, 1]
        b.send(bytes(Ether(src=two.mac, dst="ff:ff:ff:ff:ff:ff") / b"hello"))
        assert frames(a, b"hello") == 1  # and so it is learned
        a.send(bytes(Ether(src=one.mac, dst=two.mac) / b"to a known one"))
        assert [frames(x, b"to a known one") for x in (a, b, c)] == [0, 1, 0]
        a.send(bytes(Ether(src=one.mac, dst="02:00:00:00:00:77") / b"to a stranger"))
        assert [frames(x, b"to a stranger") for x in (a, b, c)] == [0, 1, 1]
        a.send(bytes(Ether(src="02:00:00:00:00:78", dst=one.mac) / b"to itself"))
        assert [frames(x, b"to itself", 0.2) for x in (a, b, c)] == [0, 0, 0]
    assert switch.port("one")["drops"]["same_port"] == 1


def test_a_host_moves(switch, hosts):
    """Its frames come by another port: from then on those to it go there."""
    one, two, three = hosts
    mac = "02:00:00:00:00:99"
    with one.capture() as a, two.capture() as b, three.capture() as c:
        for here, there in ((b, c), (c, b)):
            here.send(bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / b"I am here"))
            frames(a, b"I am here")
            a.send(bytes(Ether(src=one.mac, dst=mac) / b"are you there"))
            assert [frames(x, b"are you there") for x in (here, there)] == [1, 0]


def test_macs_of_vms(switch, hosts):
    """Nobody else may use them, and a VM may use no other; what a VM has is known without learning."""
    one, two, three = hosts
    switch.ctl("vm add one port one mac " + one.mac)
    with one.capture() as a, two.capture() as b, three.capture() as c:
        b.send(bytes(Ether(src=one.mac, dst=three.mac) / b"in its name"))
        a.send(bytes(Ether(src=two.mac, dst=three.mac) / b"in another's name"))
        assert [frames(c, b"name"), frames(c, b"name")] == [0, 0]
        b.send(bytes(Ether(src=two.mac, dst=one.mac) / b"to the VM"))
        assert [frames(a, b"to the VM"), frames(c, b"to the VM", 0)] == [1, 0]
    assert switch.port("one")["drops"]["spoofed"] == switch.port("two")["drops"]["spoofed"] == 1
    assert {"mac": one.mac, "port": "one", "type": "vm"}.items() <= [
        row for row in switch.ctl("fdb show") if row["mac"] == one.mac][0].items()
    assert who(two, IPS["one"]) == "one"


def test_ports_come_and_go(switch, hosts):
    """Others' connections do not notice."""
    one, _, _ = hosts
    with Connection(one, IPS["two"]) as connection:
        for turn in range(5):
            switch.ctl("port add x%d dev net_null_x%d,no-rx=1" % (turn, turn))
            connection.transfer(1 << 20, 1 << 20)
            switch.ctl("port del x%d" % turn)
