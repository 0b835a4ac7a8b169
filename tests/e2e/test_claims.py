# SPDX-License-Identifier: BSD-3-Clause
"""Who may say to have which address: source IPs, ARP and IPv6 neighbour discovery; and questions that the switch answers.
Frames are made and read by scapy."""

import contextlib
import os
import sys

import pytest
from scapy.all import ARP, DHCP, BOOTP, IP, UDP, Ether, Dot1Q
from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr,
                                IPv6, IPv6ExtHdrHopByHop, PadN)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lbnet import Host, who  # noqa: E402
from wire import Wire  # noqa: E402

ALL = "ff:ff:ff:ff:ff:ff"
LISTED, FREE, OUT = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"  # as Host makes them
LINK_LOCAL = "fe80::ff:fe00:1"
OTHERS = "10.0.0.9"  # nobody's


@pytest.fixture
def net(switch):
    """Two VMs, one whose addresses are known, and a host that is none."""
    with contextlib.ExitStack() as stack:
        hosts = {}
        for number, name in enumerate(("listed", "free", "out"), 1):
            host = stack.enter_context(contextlib.closing(Host(switch, name, number, ["10.0.0.%d/24" % number])))
            hosts[name] = host
        switch.ctl("vm add listed port listed mac %s ip 10.0.0.1 ip fd00::1" % LISTED)
        switch.ctl("vm add free port free mac %s" % FREE)
        wires = {name: stack.enter_context(Wire(host)) for name, host in hosts.items()}
        yield switch, hosts, wires


def arp(source, ip, mac=None, op="is-at", target=OTHERS):
    return Ether(src=source, dst=ALL) / ARP(op=op, hwsrc=mac or source, psrc=ip, pdst=target)


def advert(source, ip, mac=None):
    return Ether(src=source, dst="33:33:00:00:00:01") / IPv6(src=ip, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=ip) / \
        ICMPv6NDOptDstLLAddr(lladdr=mac or source)


def solicit(source, ip, target, mac=None):
    return Ether(src=source, dst="33:33:ff:00:00:01") / IPv6(src=ip, dst="ff02::1:ff00:1", hlim=255) / \
        ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=mac or source)


def udp(source, ip, target="10.0.0.3"):
    layer = IPv6(src=ip, dst="fd00::3") if ":" in ip else IP(src=ip, dst=target)
    return Ether(src=source, dst=OUT) / layer / UDP(sport=1, dport=2) / b"data"


HIDDEN = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(190))])
# who sends it, and whether it passes
CASES = [
    ("listed", udp(LISTED, "10.0.0.1"), True),
    ("listed", udp(LISTED, "10.0.0.7"), False),
    ("listed", udp(LISTED, "fd00::1"), True),
    ("listed", udp(LISTED, "fd00::7"), False),
    ("listed", udp(LISTED, LINK_LOCAL), True),
    ("listed", udp(LISTED, "fe80::1"), False),
    ("listed", Ether(src=LISTED, dst=OUT) / Dot1Q(vlan=5) / udp(LISTED, "10.0.0.7").payload, False),
    ("listed", Ether(src=LISTED, dst=ALL) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) /
     BOOTP(chaddr=LISTED) / DHCP(options=[("message-type", "discover"), "end"]), True),
    ("listed", Ether(src=LISTED, dst=ALL) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=69, dport=67), False),
    ("listed", arp(LISTED, "10.0.0.1"), True),
    ("listed", arp(LISTED, "10.0.0.7"), False),
    ("listed", arp(LISTED, "10.0.0.1", mac="02:00:00:00:00:99"), False),
    ("listed", arp(LISTED, "0.0.0.0", op="who-has"), True),  # a probe
    ("listed", advert(LISTED, "fd00::1"), True),
    ("listed", advert(LISTED, "fd00::2"), False),
    ("listed", advert(LISTED, "fd00::1", mac=OUT), False),
    ("listed", solicit(LISTED, "fd00::1", "fd00::7"), True),
    ("listed", solicit(LISTED, "::", "fd00::1"), True),  # duplicate address detection
    ("free", udp(FREE, "10.0.0.7"), True),  # a router forwards what is not its own
    ("free", udp(FREE, "10.0.0.1"), True),
    ("free", arp(FREE, "10.0.0.7"), True),
    ("free", arp(FREE, "10.0.0.1"), False),  # another VM's
    ("free", arp(FREE, "10.0.0.7", mac=OUT), False),
    ("free", arp(FREE, "10.0.0.1", op="who-has"), False),
    ("free", advert(FREE, "fd00::1"), False),
    ("free", advert(FREE, "fd00::7"), True),
    ("free", Ether(src=FREE, dst=ALL) / IPv6(src="fe80::2", dst="ff02::1", hlim=255) / ICMPv6ND_RA() /
     ICMPv6NDOptSrcLLAddr(lladdr=OUT), False),
    ("free", Ether(src=FREE, dst=ALL) / IPv6(src="fd00::1", dst="ff02::1", hlim=255) / HIDDEN /
     ICMPv6ND_NA(tgt="fd00::1") / ICMPv6NDOptDstLLAddr(lladdr=FREE), False),
    ("out", arp(OUT, "10.0.0.3"), True),
    ("out", arp(OUT, "10.0.0.1"), False),
    ("out", arp(OUT, "10.0.0.1", op="who-has"), False),
    ("out", advert(OUT, "fd00::1"), False),
    ("out", Ether(src=OUT, dst=ALL) / Dot1Q(vlan=7) / arp(OUT, "10.0.0.1").payload, False),
]


@pytest.mark.asan
def test_what_passes(net):
    switch, _, wires = net
    wires["out"].send(bytes(udp(OUT, "10.0.0.3")))  # is learned
    for name, frame, passes in CASES:
        before = switch.port(name)
        data = bytes(frame).ljust(60, b"\0")
        wires[name].send(data)
        switch.wait_for(lambda: switch.port(name)["rx_packets"] > before["rx_packets"], 5)
        to = wires["free" if name == "out" else "out"]
        got = next((x for x in iter(lambda: to.receive(0.5 if not passes else 5), None) if x == data), None)
        assert (got == data) == passes, frame.summary()
        drops = switch.port(name)["drops"]["spoofed_ip"] - before["drops"]["spoofed_ip"]
        assert drops == (not passes), frame.summary()


def ask(wire, frame):
    wire.send(bytes(frame).ljust(60, b"\0"))
    answer = wire.receive(5)
    assert answer is not None, frame.summary()
    return Ether(answer)


def quiet(wire):
    """Nothing but what kernels say by themselves."""
    return [x for x in iter(lambda: wire.receive(0.3), None) if b"\x06\x04\x00\x01" in x or b"\x3a\xff" in x[18:22]] == []


@pytest.mark.asan
def test_questions_are_answered(net):
    """In the name of the VM that has the address, which does not hear of them."""
    switch, _, wires = net
    answer = ask(wires["out"], arp(OUT, "10.0.0.3", op="who-has", target="10.0.0.1"))
    assert (answer.src, answer.dst, answer[ARP].op) == (LISTED, OUT, 2)
    assert (answer[ARP].hwsrc, answer[ARP].psrc, answer[ARP].hwdst, answer[ARP].pdst) == (
        LISTED, "10.0.0.1", OUT, "10.0.0.3")
    answer = ask(wires["free"], solicit(FREE, "fd00::2", "fd00::1"))
    assert (answer.src, answer.dst, answer[IPv6].src, answer[IPv6].dst, answer[IPv6].hlim) == (
        LISTED, FREE, "fd00::1", "fd00::2", 255)
    na = answer[ICMPv6ND_NA]
    assert (na.tgt, na.S, na.O, na.R, answer[ICMPv6NDOptDstLLAddr].lladdr) == ("fd00::1", 1, 1, 0, LISTED)
    checksum = na.cksum
    del na.cksum
    assert Ether(bytes(answer))[ICMPv6ND_NA].cksum == checksum
    assert quiet(wires["listed"])
    # What nobody is known to have, and a probe, goes to all.
    wires["out"].send(bytes(arp(OUT, "10.0.0.3", op="who-has", target=OTHERS)).ljust(60, b"\0"))
    assert wires["listed"].receive(5)[38:42] == bytes([10, 0, 0, 9])
    wires["out"].send(bytes(arp(OUT, "0.0.0.0", op="who-has", target="10.0.0.1")).ljust(60, b"\0"))
    assert wires["listed"].receive(5)[38:42] == bytes([10, 0, 0, 1])
    switch.ctl("suppress off")
    wires["out"].send(bytes(arp(OUT, "10.0.0.3", op="who-has", target="10.0.0.1")).ljust(60, b"\0"))
    assert wires["listed"].receive(5)[38:42] == bytes([10, 0, 0, 1])
    assert "suppress off" in switch.ctl("save").splitlines()
    drops = switch.drops()
    assert drops["received"] + drops["copies"] == drops["sent"] + drops["dropped"]


def test_answers_stay_in_their_vlan(net):
    switch, _, wires = net
    switch.ctl("port set listed access 5")
    switch.ctl("port set free access 5")
    assert ask(wires["free"], arp(FREE, "10.0.0.2", op="who-has", target="10.0.0.1"))[ARP].hwsrc == LISTED
    wires["out"].send(bytes(arp(OUT, "10.0.0.3", op="who-has", target="10.0.0.1")).ljust(60, b"\0"))
    assert wires["out"].receive(0.5) is None


def test_switch_asks_in_the_name_of_a_vm(net):
    """What it says of an address that only that VM may claim is no claim of somebody else."""
    switch, _, _ = net
    switch.ctl("R L %s 10.0.0.1 0 0.0.0.0 10.0.0.3" % LISTED)
    switch.wait_for(lambda: switch.ctl("stage show listed")["lb"][0]["backend_mac"] == OUT, 10,
                    lambda: switch.ctl("drop show"))


def test_kernels_talk(net):
    """Connections of all three, by addresses that the switch answers for or not."""
    _, hosts, _ = net
    for host in hosts.values():
        host.serve()
    for client in hosts.values():
        for number, name in enumerate(hosts, 1):
            if client.name != name:
                assert who(client, "10.0.0.%d" % number) == name


def test_saved(net):
    switch, _, _ = net
    assert "vm add listed port listed mac %s ip 10.0.0.1 ip fd00::1" % LISTED in switch.ctl("save").splitlines()
    assert [row["ips"] for row in switch.ctl("vm show")] == ["10.0.0.1,fd00::1", "-"]
