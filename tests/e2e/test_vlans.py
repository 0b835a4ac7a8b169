# SPDX-License-Identifier: BSD-3-Clause
"""Ports with VLANs, isolation and limits: random frames at all of them, against a naive model of IEEE 802.1Q."""

import contextlib
import os
import random
import struct
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lbnet import Host  # noqa: E402
from wire import Wire, mac_bytes  # noqa: E402

BROADCAST = b"\xff" * 6
RULES = {  # by port: what `port set` is told, and how the model understands it
    "open": ("", {"mode": "transparent"}),
    "red": ("access 10", {"mode": "access", "vlan": 10}),
    "red2": ("access 10 isolated on", {"mode": "access", "vlan": 10, "isolated": True}),
    "red3": ("access 10 isolated on", {"mode": "access", "vlan": 10, "isolated": True}),
    "blue": ("access 20", {"mode": "access", "vlan": 20}),
    "trunk": ("trunk 10,30-40 native 20", {"mode": "trunk", "vlan": 20, "carries": {10, 20, *range(30, 41)}}),
    "bare": ("trunk all", {"mode": "trunk", "vlan": 0, "carries": set(range(1, 4095))}),
    "tun": ("tunnel 40", {"mode": "tunnel", "vlan": 40}),
    "tun2": ("tunnel 40", {"mode": "tunnel", "vlan": 40}),
}


def vlan_of(frame):
    return struct.unpack("!H", frame[14:16])[0] & 0xfff if frame[12:14] == b"\x81\x00" else 0


def push(frame, tci):
    return frame[:12] + struct.pack("!HH", 0x8100, tci) + frame[12:]


class Model:
    """Which frame comes out where, given what went in where."""

    def __init__(self):
        self.known = {}

    def enter(self, port, frame):
        """As it is inside, or None."""
        rules, vlan = RULES[port][1], vlan_of(frame)
        tagged = frame[12:14] == b"\x81\x00"
        if rules["mode"] == "transparent":
            return frame
        if rules["mode"] == "tunnel":
            return push(frame, rules["vlan"])
        if vlan == 0 and rules["vlan"]:
            priority = struct.unpack("!H", frame[14:16])[0] if tagged else 0
            return push(frame[:12] + frame[16:] if tagged else frame, priority | rules["vlan"])
        return frame if rules["mode"] == "trunk" and vlan in rules["carries"] else None

    def leave(self, port, frame):
        rules, vlan = RULES[port][1], vlan_of(frame)
        if rules["mode"] == "transparent":
            return frame
        if vlan == rules["vlan"] and vlan:
            return frame[:12] + frame[16:]
        return frame if rules["mode"] == "trunk" and vlan in rules["carries"] else None

    def send(self, port, frame):
        """{port: frame that comes out}"""
        inside = self.enter(port, frame)
        if inside is None:
            return {}
        vlan = vlan_of(inside)
        self.known[inside[6:12], vlan] = port
        where = None if inside[0] & 1 else self.known.get((inside[:6], vlan))
        out = {}
        for other in [where] if where else RULES:
            both = RULES[other][1].get("isolated") and RULES[port][1].get("isolated")
            if other != port and not both:
                out[other] = self.leave(other, inside)
        return {name: one for name, one in out.items() if one is not None}


@pytest.fixture
def net(switch):
    with contextlib.ExitStack() as stack:
        hosts, wires = {}, {}
        for number, (name, (rules, _)) in enumerate(RULES.items(), 1):
            hosts[name] = stack.enter_context(contextlib.closing(Host(switch, name, number, [])))
            wires[name] = stack.enter_context(Wire(hosts[name]))
            if rules:
                switch.ctl("port set %s %s" % (name, rules))
        yield switch, hosts, wires


def random_frame(rng, source, targets, number):
    target = rng.choice([BROADCAST, *targets])
    frame = target + source + b"\x88\xb5" + struct.pack("!I", number) + bytes(rng.randrange(42, 200))
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        frame = push(frame, rng.choice([0, 10, 20, 30, 40, 50, 4094]) | rng.randrange(8) << 13)
    return frame


@pytest.mark.asan
def test_against_a_model(net):
    switch, hosts, wires = net
    rng, model = random.Random(1), Model()
    macs = [mac_bytes(host.mac) for host in hosts.values()]
    came = 0
    for number in range(500):
        port = rng.choice(list(RULES))
        frame = random_frame(rng, mac_bytes(hosts[port].mac), macs, number)
        wires[port].send(frame)
        want = model.send(port, frame)
        for name, one in want.items():
            got = wires[name].receive(5)
            assert got == one, "frame %d from %s: %s gets %s, not %s" % (number, port, name, got and got.hex(), one.hex())
        came += len(want)
    time.sleep(0.2)
    assert [name for name in RULES if wires[name].receive(0) is not None] == []
    assert came > 500
    drops = switch.drops()
    assert drops["received"] + drops["copies"] == drops["sent"] + drops["dropped"]
    found = {row["reason"] for row in drops["reasons"] if row["packets"]}
    assert {"vlan", "isolated"} <= found <= {"vlan", "isolated", "same_port", "no_port"}


def test_saved_and_shown(net):
    switch, _, _ = net
    lines = switch.ctl("save").splitlines()
    for name, (rules, _) in RULES.items():
        want = rules.replace("trunk all", "trunk 1-4094")
        assert switch.port(name)["rules"] == (want or "-")
        assert ("port set %s %s" % (name, want) in lines) == bool(rules)
    switch.ctl("port set red2 transparent isolated off")
    assert switch.port("red2")["rules"] == "-"


def test_storm(net):
    """A port's broadcasts are limited; its other frames and other ports are not."""
    switch, hosts, wires = net
    switch.ctl("port set open storm 100")
    head = mac_bytes(hosts["open"].mac) + b"\x88\xb5"
    wires["bare"].send(BROADCAST + mac_bytes(hosts["bare"].mac) + b"\x81\x00\x00\x0a\x88\xb5" + bytes(50))
    switch.wait_for(lambda: switch.port("bare")["learned"], 5)
    start = time.monotonic()
    for _ in range(1000):
        wires["open"].send(BROADCAST + head + bytes(50))
        wires["open"].send(mac_bytes(hosts["bare"].mac) + head[:6] + b"\x81\x00\x00\x0a" + head[6:] + bytes(50))
        time.sleep(0.0001)
    switch.wait_for(lambda: switch.port("open")["rx_packets"] >= 1900, 10, lambda: switch.port("open"))  # some are the kernel's
    port = switch.port("open")
    passed = port["rx_packets"] // 2 - port["drops"]["storm"]
    assert 8 <= passed <= 60 + 100 * (time.monotonic() - start)
    assert port["dropped"] - port["drops"]["storm"] - port["drops"]["no_port"] == 0
    assert switch.port("bare")["tx_packets"] >= 940


def test_limit_of_learned_macs(net):
    """Beyond it nothing is learned, and nothing is lost."""
    switch, _, wires = net
    switch.ctl("port set open macs 5")
    for number in range(20):
        wires["open"].send(BROADCAST + b"\x02\x01\x00\x00\x00" + bytes([number]) + b"\x88\xb5" + bytes(50))
    switch.wait_for(lambda: switch.port("open")["rx_packets"] >= 20, 5)
    assert switch.port("open")["learned"] == 5 == len(switch.ctl("fdb show open"))
    switch.ctl("port set open macs off")
    wires["open"].send(BROADCAST + b"\x02\x01\x00\x00\x00\x0f\x88\xb5" + bytes(50))
    switch.wait_for(lambda: switch.port("open")["learned"] == 6, 5)


def test_static_macs(net):
    """Where the operator put them, whoever says otherwise."""
    switch, hosts, wires = net
    mac = "02:02:00:00:00:01"
    switch.ctl("fdb add %s red vlan 10" % mac)
    wires["bare"].send(mac_bytes(mac) + mac_bytes(hosts["bare"].mac) + b"\x81\x00\x00\x0a\x88\xb5" + bytes(50))
    assert wires["red"].receive(5)[:6] == mac_bytes(mac)
    wires["bare"].send(BROADCAST + mac_bytes(mac) + b"\x81\x00\x00\x0a\x88\xb5" + bytes(50))
    switch.wait_for(lambda: switch.port("bare")["drops"]["spoofed"] == 1, 5, lambda: switch.port("bare"))
    assert wires["red2"].receive(0.2) is None
    assert "fdb add %s red vlan 10" % mac in switch.ctl("save").splitlines()
    assert [row["type"] for row in switch.ctl("fdb show") if row["mac"] == mac] == ["static"]
    switch.ctl("fdb del %s vlan 10" % mac)
    wires["bare"].send(BROADCAST + mac_bytes(mac) + b"\x81\x00\x00\x0a\x88\xb5" + bytes(50))
    assert wires["red"].receive(5) is not None
    switch.ctl("fdb add %s red" % mac)
    switch.ctl("port del red")
    assert "fdb add" not in switch.ctl("save")
