# SPDX-License-Identifier: BSD-3-Clause
"""Rules of the firewall, the naive way: one after the other, on what scapy makes of a frame."""

import ipaddress
from dataclasses import dataclass, field

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"]
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "sctp": 132, "0": 0}
TYPES = {"ip": 0x800, "ipv6": 0x86dd, "arp": 0x806, "0x88cc": 0x88cc, "0x88b5": 0x88b5}
MACS = ["02:00:00:00:00:%02x" % i for i in (1, 2, 3)]
V4 = ["10.9.0.1", "10.9.0.2", "10.9.1.1", "10.200.0.1", "11.0.0.1"]
V6 = ["fd09::1", "fd09::2", "fd09:0:0:1::1", "fd10::1"]
PREFIXES = ["0.0.0.0/0", "10.0.0.0/8", "10.9.0.0/16", "10.9.0.0/24", "10.9.0.1", "10.9.1.1/32", "10.0.0.0/7", "::/0", "fd09::/64",
            "fd09::/16", "fd09::1", "fd09::2/127"]
PORTS = [0, 53, 80, 1023, 1024, 65535]
RANGES = ["53", "80", "0-1023", "1024-65535", "80-80", "0-65535"]
TOS = [0, 4, 0xb8, 0xff]


@dataclass
class Facts:
    """What a rule can ask of a frame; None: it has no such thing."""
    smac: str
    dmac: str
    type: int
    vlan: int = None
    source: object = None
    target: object = None
    proto: int = None
    tos: int = None
    sport: int = None
    dport: int = None
    flags: int = None
    icmp: tuple = None


@dataclass
class Rule:
    number: int
    side: str
    verdict: str
    asks: dict = field(default_factory=dict)  # word to value as typed
    packets: int = 0
    bytes: int = 0

    def words(self):
        return "".join(" %s %s" % item for item in self.asks.items())

    def matches(self, facts):
        return all(TESTS[word](value, facts, self) for word, value in self.asks.items())


def within(prefix, address):
    network = ipaddress.ip_network(prefix)
    return address is not None and address.version == network.version and address in network


def in_range(value, port):
    first, _, last = value.partition("-")
    return port is not None and int(first) <= port <= int(last or first)


def flag_bits(names):
    return sum(1 << FLAGS.index(name) for name in names.split(",")) if names != "none" else 0


def has_flags(value, facts, rule):
    wanted, _, mask = value.partition("/")
    return facts.flags is not None and facts.flags & flag_bits(mask or wanted) == flag_bits(wanted)


def has_icmp(value, facts, rule):
    kind, _, code = value.partition("/")
    six = any(":" in rule.asks.get(word, "") for word in ("from", "to")) or rule.asks.get("proto") == "ipv6-icmp"
    return facts.icmp is not None and facts.proto == (58 if six else 1) and facts.icmp[0] == int(kind) and \
        (not code or facts.icmp[1] == int(code))


def has_tos(value, facts, rule):
    wanted, _, mask = value.partition("/")
    return facts.tos is not None and facts.tos & int(mask or "255", 0) == int(wanted, 0)


TESTS = {
    "from": lambda value, facts, rule: within(value, facts.source),
    "to": lambda value, facts, rule: within(value, facts.target),
    "proto": lambda value, facts, rule: facts.proto == PROTOCOLS[value],
    "sport": lambda value, facts, rule: in_range(value, facts.sport),
    "dport": lambda value, facts, rule: in_range(value, facts.dport),
    "flags": has_flags,
    "icmp": has_icmp,
    "tos": has_tos,
    "vlan": lambda value, facts, rule: facts.vlan == (None if value == "none" else int(value)),
    "type": lambda value, facts, rule: facts.type == TYPES[value],
    "smac": lambda value, facts, rule: facts.smac == value,
    "dmac": lambda value, facts, rule: facts.dmac == value,
}


def random_asks(rng):
    choices = {
        "from": lambda: rng.choice(PREFIXES), "to": lambda: rng.choice(PREFIXES),
        "proto": lambda: rng.choice(list(PROTOCOLS)), "sport": lambda: rng.choice(RANGES),
        "dport": lambda: rng.choice(RANGES), "tos": lambda: rng.choice(["0", "4", "0xb8/0xfc", "0/1"]),
        "flags": lambda: rng.choice(["syn", "syn/syn,ack", "ack", "none/syn,ack,rst", "fin,psh/fin,psh,urg"]),
        "icmp": lambda: rng.choice(["8", "3/1", "0/0", "128"]),
        "vlan": lambda: rng.choice(["none", "7", "8"]), "type": lambda: rng.choice(["ip", "ipv6", "arp", "0x88cc"]),
        "smac": lambda: rng.choice(MACS), "dmac": lambda: rng.choice(MACS)}
    words = rng.sample(list(choices), rng.choice([1, 1, 2, 2, 3, 4]))
    return {word: choices[word]() for word in words}


def is_possible(asks):
    """What the switch would not take: see docs/stages.md."""
    families = {ipaddress.ip_network(asks[word]).version for word in ("from", "to") if word in asks}
    proto = asks.get("proto")
    if len(families) == 2 or ("flags" in asks and "icmp" in asks) or ("flags" in asks and proto not in (None, "tcp")):
        return False
    allowed = {None, "ipv6-icmp"} if families == {6} else {None, "icmp"} | ({"ipv6-icmp"} if not families else set())
    return "icmp" not in asks or proto in allowed


def random_rule(rng, number, side, verdicts):
    while True:
        asks = random_asks(rng)
        if is_possible(asks):
            return Rule(number, side, rng.choice(verdicts), asks)


def transport(rng, six):
    kind = rng.choice(["tcp", "tcp", "udp", "icmp", "other"])
    ports = {"sport": rng.choice(PORTS), "dport": rng.choice(PORTS)}
    if kind == "tcp":
        flags = rng.choice(["S", "SA", "A", "FPA", "R", "", "FP", "FPU"])
        return TCP(flags=flags, **ports), {"proto": 6, "flags": int(TCP(flags=flags).flags), **ports}
    if kind == "udp":
        return UDP(**ports), {"proto": 17, **ports}
    if kind == "icmp":
        icmp = rng.choice([(128, 0), (8, 0), (3, 1), (0, 0), (3, 3)])
        return Raw(bytes(icmp) + bytes(6)), {"proto": 58 if six else 1, "icmp": icmp}
    return Raw(bytes(8)), {"proto": rng.choice([0, 253]) if not six else 253}


def random_frame(rng, source, target, number):
    """(bytes, facts). The last bytes tell one from another."""
    header, facts = Ether(src=source, dst=target), Facts(source, target, None)
    if rng.random() < 0.3:
        facts.vlan = rng.choice([7, 8, 9])
        header = header / Dot1Q(vlan=facts.vlan, prio=rng.randrange(8))
    kind = rng.choice(["4", "4", "4", "6", "6", "arp", "other"])
    facts.type = {"4": 0x800, "6": 0x86dd, "arp": 0x806, "other": 0x88cc}[kind]
    header.lastlayer().type = facts.type
    mark = number.to_bytes(4, "big")
    if kind == "arp":
        return bytes(header / ARP(hwsrc=source, psrc=rng.choice(V4), pdst=rng.choice(V4), op=9)).ljust(56, b"\0") + mark, facts
    if kind == "other":
        return bytes(header / Raw(bytes(42) + mark)), facts
    body, more = transport(rng, kind == "6")
    facts.tos = rng.choice(TOS)
    fragment = rng.random() < 0.15
    offset = rng.choice([0, 5]) if fragment else 0
    if offset:  # only the first carries the header
        body, more = Raw(bytes(24)), {"proto": more["proto"]}
    pool = V4 if kind == "4" else V6
    ends = rng.choice(pool), rng.choice(pool)
    if kind == "4":
        layer = IP(src=ends[0], dst=ends[1], tos=facts.tos, proto=more["proto"], flags="MF" if fragment else 0, frag=offset)
    else:
        layer = IPv6(src=ends[0], dst=ends[1], tc=facts.tos, nh=44 if fragment else more["proto"])
        if fragment:
            layer = layer / IPv6ExtHdrFragment(nh=more["proto"], offset=offset, m=1)
    facts.source, facts.target = map(ipaddress.ip_address, ends)
    for name, value in more.items():
        setattr(facts, name, value)
    return bytes(header / layer / body / Raw(bytes(16) + mark)), facts


class Rulebook:
    """The rules of one MAC, and what became of the packets."""

    def __init__(self):
        self.rules = {"in": [], "out": []}
        self.default = {side: Rule("default", side, "allow") for side in self.rules}

    def add(self, rule):
        self.rules[rule.side] = sorted(self.rules[rule.side] + [rule], key=lambda other: other.number)

    def decide(self, side, facts, size):
        rule = next((rule for rule in self.rules[side] if rule.matches(facts)), self.default[side])
        rule.packets += 1
        rule.bytes += size
        return rule.verdict

    def rows(self):
        """As `rule show` has them, without the text of the matches."""
        return [{"side": rule.side, "rule": str(rule.number), "verdict": rule.verdict, "packets": rule.packets,
                 "bytes": rule.bytes} for side in self.rules for rule in self.rules[side] + [self.default[side]]]
