# SPDX-License-Identifier: BSD-3-Clause
"""A naive model of the firewall stage, and frames to try it with.

A frame is made with scapy and keeps the facts that it was made from, so that nothing here parses: what the switch reads
out of a frame is compared with what was put in. The model tries every filter on every frame, as docs/stages.md says."""

import struct
from dataclasses import dataclass, field, replace

from scapy.layers.inet import ICMP, IP, IPOption, TCP, UDP
from scapy.layers.inet6 import (IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw
from scapy.utils import RawPcapReader

BITS = {"t": 8, "s": 4, "d": 2, "p": 1}
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 51: "ah", 58: "ipv6-icmp", 132: "sctp", 253: "253"}
ETHER_TYPES = {0x0800: "ip", 0x0806: "arp", 0x86dd: "ipv6", 0x88cc: "0x88cc", 0x8100: "0x8100"}

# Few, so that filters and frames meet. No MAC is both a source and a destination, else the switch would learn it.
SOURCES = ["02:00:00:00:0a:%02x" % i for i in range(4)]
STRANGERS = ["02:00:00:00:0b:%02x" % i for i in range(2)]  # destinations behind no known port
GROUPS = ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"]
IP4 = ["10.0.0.1", "10.0.0.2", "192.168.7.9", "255.255.255.255"]
IP6 = ["2001:db8::1", "2001:db8::2", "fe80::7", "::"]
TOS = [0, 16, 184, 186, 255]
PORTS = [0, 22, 53, 443, 65535]


@dataclass
class Frame:
    data: bytes
    source: str
    target: str
    priority: int = None  # 802.1p, of the outermost tag
    ether_type: int = None  # behind the tags
    version: int = 0  # 4, 6, or not (well-formed) IP
    s: str = None  # addresses
    d: str = None
    tos: int = None
    proto: int = None
    ports: tuple = None

    def to(self, mac):
        """The same for another host."""
        return replace(self, target=mac, data=bytes.fromhex(mac.replace(":", "")) + self.data[6:])

    def to_group(self):
        return bool(self.data[0] & 1)


@dataclass
class Filter:
    layer: str
    value: int
    fields: dict = field(default_factory=dict)  # letter to number or address
    packets: int = 0
    bytes: int = 0

    def matches(self, frame):
        if self.layer == "M":
            found = {"s": frame.source, "d": frame.target, "t": frame.priority, "p": frame.ether_type}
        elif not frame.version:
            return False
        else:
            s, d = (frame.s, frame.d) if self.layer == "I" else frame.ports or (None, None)
            found = {"s": s, "d": d, "t": frame.tos, "p": frame.proto}
        return all(found[letter] == value for letter, value in self.fields.items())

    def text(self, letter):
        """A field in the form in which the switch shows it."""
        if letter not in self.fields:
            return "-"
        names = {} if letter != "p" else ETHER_TYPES if self.layer == "M" else PROTOCOLS
        return names.get(self.fields[letter], str(self.fields[letter]))

    def line(self):
        return " ".join([self.layer, str(self.value)] + ["%s %s" % (x, self.text(x)) for x in "tsdp" if x in self.fields])

    def any_line(self, rng):
        """The same in any other form and order that the grammar takes."""
        words = []
        for letter in rng.sample(list(self.fields), len(self.fields)):
            value, text = self.fields[letter], self.text(letter)
            forms = [text, str(value), hex(value)] if isinstance(value, int) else [text, text.upper()]
            words += [letter, rng.choice(forms)]
        return " ".join([self.layer, rng.choice(["%d", "0x%x"]) % self.value] + words)


class Firewall:
    """What one VM has registered: middleboxes in order, each a MAC with its filters in order."""

    def __init__(self):
        self.boxes = {}  # MAC: (IP, [Filter])

    def register(self, mac, ip):
        assert mac not in self.boxes
        self.boxes[mac] = (ip, [])

    def filters(self, mac, layer=None):
        return [f for f in self.boxes[mac][1] if layer in (None, f.layer)]

    def add(self, mac, new):
        """False: it is there already."""
        if any((f.layer, f.value, f.fields) == (new.layer, new.value, new.fields) for f in self.filters(mac)):
            return False
        self.boxes[mac][1].append(new)
        return True

    def remove(self, mac, layer, value, fields=None):
        """One filter, or without fields all of this value. How many."""
        gone = [f for f in self.filters(mac, layer) if f.value == value and fields in (None, f.fields)]
        self.boxes[mac][1][:] = [f for f in self.filters(mac) if f not in gone]
        return len(gone)

    def drops(self, frame):
        """Whether a frame that would go to the VM is dropped; counts it where docs/stages.md says."""
        for mac, (_, filters) in self.boxes.items():
            if frame.to_group() or frame.target == mac:
                hits = [f for f in filters if f.matches(frame)]
                if hits:
                    first = min(hits, key=lambda f: ("MIT".index(f.layer), f.value))
                    first.packets += 1
                    first.bytes += len(frame.data)
                    return True
        return False

    def table(self, mac, layer):
        """What `I`, `M` and `T` answer."""
        return [{"mac": mac, "ip": self.boxes[mac][0], "layer": layer, "value": f.value,
                 **{letter: f.text(letter) for letter in "sdtp"}, "packets": f.packets, "bytes": f.bytes}
                for f in self.filters(mac, layer)]

    def rows(self):
        """The firewall's rows of `stage show VM`."""
        return [{"stage": "firewall", "mac": mac, "ip": ip, "filters": len(filters), "rules": 0,
                 "packets": sum(f.packets for f in filters), "bytes": sum(f.bytes for f in filters)}
                for mac, (ip, filters) in self.boxes.items()]


def letters(value):
    return [letter for letter in "tsdp" if value & BITS[letter]]


def random_filter(rng, targets, layer=None, value=None):
    layer = layer or rng.choice("IMT")
    value = rng.randrange(1, 16) if value is None else value
    addresses = {"I": lambda: rng.choice([IP4, IP6]), "M": lambda: None, "T": lambda: PORTS}[layer]()
    pools = {"s": addresses or SOURCES, "d": addresses or list(targets) + GROUPS + STRANGERS,
             "t": TOS if layer != "M" else range(8), "p": list(ETHER_TYPES if layer == "M" else PROTOCOLS)}
    return Filter(layer, value, {letter: rng.choice(pools[letter]) for letter in letters(value)})


def payload(rng, proto, number):
    """(layer, ports) of a transport header of this kind; number makes the frame like no other."""
    sport, dport = rng.choice(PORTS), rng.choice(PORTS)
    tail = Raw(struct.pack("!I", number) + b"x" * rng.randrange(40))
    if proto in (6, 17, 132):
        return {6: TCP, 17: UDP, 132: SCTP}[proto](sport=sport, dport=dport) / tail, (sport, dport)
    if proto == 1:
        return ICMP() / tail, None
    # Looks like ports, and is none.
    return Raw(struct.pack("!HH", sport, dport)) / tail, None


def ipv4(rng, number):
    proto = rng.choice([1, 6, 6, 17, 17, 132, 47, 253])
    body, ports = payload(rng, proto, number)
    ip = IP(src=rng.choice(IP4), dst=rng.choice(IP4), tos=rng.choice(TOS), proto=proto, id=number & 0xffff)
    if rng.random() < 0.2:
        ip.options = [IPOption(b"\x94\x04\x00\x00")] * rng.randrange(1, 10)  # router alert
    kind = rng.random()
    if kind < 0.1:
        ip.flags = "MF"  # the first fragment carries the ports
    elif kind < 0.25:
        ip.frag, ip.flags, ports = rng.choice([1, 185, 8191]), rng.choice(["", "MF"]), None
    return ip / body, {"version": 4, "s": ip.src, "d": ip.dst, "tos": ip.tos, "proto": proto, "ports": ports}


def extension(rng, kind):
    if kind == 0:
        return IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * rng.choice([0, 4, 12]))])
    if kind == 43:
        return IPv6ExtHdrRouting(addresses=["2001:db8::77"] * rng.randrange(3))
    if kind == 51:
        icv = b"\1" * rng.choice([4, 12])
        return AH(icv=icv, payloadlen=(12 + len(icv)) // 4 - 2, spi=7, seq=1)
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * rng.choice([0, 4, 12]))])


def ipv6(rng, number):
    proto = rng.choice([58, 6, 6, 17, 17, 132, 253])
    body, ports = payload(rng, proto, number)
    if proto == 58:
        body = Raw(b"\x80\0\0\0") / body  # echo, as far as the switch looks
    count = rng.choice([0, 0, 0, 1, 2, 3, 8, 9])
    kinds = [rng.choice([0, 43, 51, 60]) for _ in range(count)]
    layers = [extension(rng, kind) for kind in kinds]
    seen, fragment = proto, rng.random()
    if count > 8:  # the walk ends at the ninth, whose number is what it saw last
        seen, ports = kinds[8], None
    elif count and count < 8 and fragment < 0.5:
        where = rng.randrange(count + 1)
        offset = rng.choice([0, 0, 1, 185, 8191])
        layers.insert(where, IPv6ExtHdrFragment(offset=offset, m=rng.choice([0, 1]), id=number))
        kinds.insert(where, 44)
        if offset:  # and what follows a later one is data: it tells only what its first header is
            seen, ports = (kinds[1:] + [proto])[where] if where < len(kinds) else proto, None
    ip = IPv6(src=rng.choice(IP6), dst=rng.choice(IP6), tc=rng.choice(TOS), fl=number & 0xfffff)
    # Said outright: scapy would guess at what follows data.
    for layer, nh in zip([ip] + layers, kinds + [proto]):
        layer.nh = nh
    facts = {"version": 6, "s": ip.src, "d": ip.dst, "tos": ip.tc, "proto": seen, "ports": ports}
    for layer in layers:
        ip = ip / layer
    return ip / body, facts


def broken_ip(rng, number):
    """IP headers with which something is wrong, and those with too little behind them. (bytes, EtherType, facts)"""
    packet, facts = rng.choice([ipv4, ipv6])(rng, number)
    data = bytearray(bytes(packet))
    ether_type = 0x0800 if facts["version"] == 4 else 0x86dd
    kind = rng.choice(["version", "length", "cut", "transport", "header"])
    if kind == "transport" and facts["version"] == 4:
        # The datagram ends within its ports; what pads the frame is none of it.
        header = (data[0] & 15) * 4
        data[2:4] = struct.pack("!H", header + rng.randrange(4))
        return data, ether_type, dict(facts, ports=None)
    if kind == "transport":
        # An extension header that is longer than the datagram: its number is the last that can be read.
        data[6], data[40:42] = 60, b"\x06\xff"
        return data, ether_type, dict(facts, proto=60, ports=None)
    if kind == "version":
        data[0] = (data[0] + 0x10 * rng.randrange(1, 16)) & 0xff
    elif kind == "length":
        at = 2 if facts["version"] == 4 else 4
        data[at:at + 2] = struct.pack("!H", struct.unpack("!H", data[at:at + 2])[0] + 1)
    elif kind == "header" and facts["version"] == 4:
        data[0] = 0x40 + rng.randrange(5)
    else:
        data = data[:rng.randrange(20 if facts["version"] == 4 else 40)]
    return data, ether_type, {}


def link(rng, targets):
    """(header for scapy, facts) of the Ethernet layer."""
    target = rng.choice(list(targets) * 4 + GROUPS + STRANGERS)
    header = Ether(src=rng.choice(SOURCES), dst=target, type=0x8100)
    facts = {"source": header.src, "target": target}
    tags = rng.choice([0, 0, 0, 1, 2, 3])
    if tags:
        facts["priority"] = rng.randrange(8)
        header.type = rng.choice([0x8100, 0x88a8, 0x9100])
    for i in range(tags):
        header = header / Dot1Q(prio=facts["priority"] if i == 0 else rng.randrange(8), vlan=rng.choice([0, 1, 4095]),
                                id=rng.randrange(2), type=0x8100)
    return header, tags, facts


def random_frame(rng, targets, number):
    header, tags, facts = link(rng, targets)
    kind = rng.choice(["4", "4", "4", "6", "6", "6", "arp", "other", "length", "broken", "jumbo"])
    more, ether_type = {}, {"4": 0x0800, "6": 0x86dd, "arp": 0x0806, "other": 0x88cc, "jumbo": 0x0800}.get(kind)
    if kind in "46":
        body, more = (ipv4 if kind == "4" else ipv6)(rng, number)
    elif kind == "jumbo":  # more than one buffer of the switch
        body, more = ipv4(rng, number)
        body = body / Raw(b"j" * rng.randrange(2000, 5000))
    elif kind == "arp":
        body = ARP(psrc=rng.choice(IP4), pdst=rng.choice(IP4)) / Raw(struct.pack("!I", number))
    elif kind == "broken":
        body, ether_type, more = broken_ip(rng, number)
    else:
        body = Raw(struct.pack("!I", number) * rng.randrange(1, 20))
        if kind == "length":
            ether_type = len(body)
    innermost = header.lastlayer()
    innermost.type = ether_type
    data = bytes(header) + bytes(body)
    # What broken_ip cut is not made whole again.
    if len(data) < 60 and (kind != "broken" or more) and rng.random() < 0.7:
        data += b"\x11" * (60 - len(data))  # bytes that could be ports
    # Three tags: only two are read, and what follows is neither IP nor ARP but a tag.
    ether_type, more = (0x8100, {}) if tags == 3 else (ether_type, more)
    return Frame(data, **facts, ether_type=ether_type if ether_type >= 0x600 else None, **more)


def random_frames(rng, targets, count):
    frames = [random_frame(rng, targets, number) for number in range(count - 2)]
    # A tag without its end: neither a tag nor a type can be read.
    for size in (14, 17):
        data = bytes(Ether(src=SOURCES[0], dst=targets[0], type=0x8100)) + b"\xe0\0\x08\0"
        frames.append(Frame(data[:size], SOURCES[0], targets[0]))
    return frames


def write_pcap(path, frames):
    with open(path, "wb") as stream:
        stream.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 1 << 16, 1))
        for data in frames:
            stream.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    return path


def read_pcap(path):
    reader = RawPcapReader(path)
    frames = [data for data, _ in reader]
    reader.close()
    return frames
