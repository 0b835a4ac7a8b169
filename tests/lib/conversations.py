# SPDX-License-Identifier: BSD-3-Clause
"""Conversations to try a connection tracker with: TCP mostly as two hosts would have it, with a part of the segments odd
in one way or another (numbers at and beyond every bound, old ones, flags and options that do not belong there); UDP and
ICMP; and those of captures. Each has packets, a list of (side, IP packet), and of each of them a note, and whether it has
a SYN (None: no TCP)."""

import ipaddress
import struct

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
NOW = 0xffffffff


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ip_packet(version, number, side, proto, payload):
    """The conversation's number makes the addresses; side 0 is the one that is to the left."""
    if version == 4:
        ends = [struct.pack("!BBH", 10, 1 + s, number) for s in (side, 1 - side)]
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, proto, 0) + ends[0] + ends[1]
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload
    ends = [struct.pack("!BB12xH", 0xfd, 1 + s, number) for s in (side, 1 - side)]
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + ends[0] + ends[1] + payload


def tcp_header(ports, flags, seq, ack, window, options=b""):
    options += bytes(-len(options) % 4)
    return struct.pack("!HHIIBBHHH", *ports, seq & NOW, ack & NOW, (5 + len(options) // 4) << 4, flags, window, 0,
                       0) + options


class Host:
    """One end: what it has sent, and what it said that it got."""

    def __init__(self, rng):
        self.next = rng.choice([rng.getrandbits(32), NOW - rng.randrange(3000)])
        self.first, self.acked = self.next, 0
        self.scale = rng.choice([None, 0, 1, 7, 14, 15, 255])
        self.sack = rng.random() < 0.7
        self.window = rng.choice([0, 1, 501, 8192, 65535])
        self.fin = False

    def shift(self):
        return min(self.scale or 0, 14)


class Conversation:
    """odd: how often one thing of a segment is not what it should be."""

    def __init__(self, rng, number, odd):
        self.rng, self.number, self.odd = rng, number, odd
        self.version = rng.choice([4, 6])
        self.hosts = [Host(rng), Host(rng)]
        self.packets, self.notes, self.opens = [], [], []

    def is_odd(self):
        return self.rng.random() < self.odd

    def near(self, *numbers):
        """About one of these, mostly within a few octets of a bound."""
        rng = self.rng
        far = rng.choice([0, 0, 0, 66000, 65535, self.hosts[0].window << self.hosts[0].shift(),
                          self.hosts[1].window << self.hosts[1].shift(), 1 << 20, 1 << 30, 1 << 31])
        return (rng.choice(numbers) + rng.choice([-1, 1]) * far + rng.choice([-1460, -2, -1, 0, 0, 1, 2, 1460])) & NOW

    def options(self, host, peer, flags, ack):
        rng, options = self.rng, b""
        if flags & SYN or self.is_odd():
            if host.scale is not None:
                options += b"\1\3\3" + bytes([host.scale])
            if host.sack:
                options += b"\4\2"
        elif host.sack and peer.sack and rng.random() < 0.2:
            right = peer.next if rng.random() < 0.7 else self.near(peer.next, ack)
            blocks = [(self.near(ack), ack), (right - 1, right)][rng.randrange(2):]
            options += b"\1\1\5" + bytes([2 + 8 * len(blocks)])
            options += b"".join(struct.pack("!II", left & NOW, edge & NOW) for left, edge in blocks)
        elif rng.random() < 0.3:
            options += b"\1\1\x08\x0a" + bytes(8)
        if self.is_odd():
            options += bytes(rng.choice([0, 1, 2, 3, 4, 5, 8, 10, 255]) for _ in range(rng.randrange(8)))
        return options[:40]

    def send(self, side, flags, seq, ack, size=0):
        host, peer = self.hosts[side], self.hosts[1 - side]
        rng = self.rng
        window = host.window
        if self.is_odd():
            seq = self.near(seq, host.next, host.first, peer.acked)
        if self.is_odd():
            ack = self.near(ack, peer.next, host.acked)
        if self.is_odd():
            seq, ack, window = rng.choice([(0, ack, window), (seq, 0, window), (rng.getrandbits(32), ack, window),
                                           (seq, ack, 0), (seq, ack, 65535)])
        if self.is_odd():
            flags = rng.choice([SYN, SYN | ACK, FIN | ACK, ACK, RST, RST | ACK, ACK | PSH, ACK | URG])
        if rng.random() < self.odd / 20:
            flags = rng.randrange(256)
        if flags == SYN and self.packets:
            window = 65535
        if not flags & ACK:
            ack = 0
        ports = [1000, 2000] if side == 0 else [2000, 1000]
        options = self.options(host, peer, flags, ack)
        header = tcp_header(ports, flags, seq, ack, window, options)
        self.packets.append((side, ip_packet(self.version, self.number, side, 6, header + bytes(size))))
        self.opens.append(bool(flags & SYN))
        self.notes.append("%d flags %02x seq %d ack %d window %d size %d options %s" % (
            side, flags, (seq - self.hosts[side].first) & NOW, (ack - peer.first) & NOW, window, size, options.hex()))
        if flags & ACK and (ack - host.acked) & NOW < 1 << 31 or not host.acked:
            host.acked = ack

    def handshake(self):
        rng, (a, b) = self.rng, self.hosts
        for _ in range(rng.choice([1, 1, 1, 2])):
            self.send(0, SYN, a.first, 0, rng.choice([0, 0, 0, 100]))
        a.next = (a.first + 1) & NOW
        how = rng.random()
        b.next = (b.first + 1) & NOW
        if how < 0.1:  # simultaneous open
            self.send(1, SYN, b.first, 0)
            order = [0, 1] if rng.random() < 0.5 else [1, 0]
            for side in order:
                self.send(side, SYN | ACK, self.hosts[side].first, self.hosts[1 - side].next)
        elif how < 0.15:  # somebody knows better
            self.send(1, ACK, self.near(b.next), self.near(a.next))
            self.send(0, RST, b.acked, 0)
            self.send(0, SYN, a.first, 0)
            self.send(1, SYN | ACK, b.first, a.next)
        elif how < 0.2:
            self.send(1, RST | ACK, 0, a.next)
        else:
            self.send(1, SYN | ACK, b.first, a.next)
        if rng.random() < 0.9:
            self.send(0, ACK, a.next, b.next)

    def step(self):
        rng = self.rng
        side = rng.randrange(2)
        host, peer = self.hosts[side], self.hosts[1 - side]
        what = rng.random()
        ack = peer.next
        room = max(peer.window << peer.shift(), 1)
        if what < 0.45 and not host.fin:
            size = min(rng.choice([1, 10, 1460, 1460, 20000, 60000]), room)
            self.send(side, ACK | PSH, host.next, ack, size)
            host.next = (host.next + size) & NOW
        elif what < 0.75:
            self.send(side, ACK, host.next, ack)
        elif what < 0.82:  # again
            back = rng.choice([1, 1460, 20000])
            self.send(side, ACK, host.next - back, ack, back if rng.random() < 0.7 else 0)
        elif what < 0.87:  # an old acknowledgment
            self.send(side, ACK, host.next, peer.next - rng.choice([1, 1460, 66000, 100000]))
        elif what < 0.89:
            host.window = rng.choice([0, 1, 8192, 65535])
            self.send(side, ACK, host.next, ack)
        elif what < 0.93:
            self.send(side, FIN | ACK, host.next - host.fin, ack)
            if not host.fin:
                host.next, host.fin = (host.next + 1) & NOW, True
        elif what < 0.95:
            self.send(side, RST | rng.choice([0, ACK]), rng.choice([host.next, peer.acked, self.near(host.next, peer.acked)]), ack)
        elif what < 0.97 or self.is_odd():
            self.send(side, rng.choice([SYN, SYN, SYN | ACK]), self.near(host.next, host.first), ack)
        elif what < 0.975:  # the same ports again
            host.first = rng.getrandbits(32)
            self.hosts = [Host(rng), Host(rng)]
            self.handshake()
        else:  # an answer to what is out of place
            self.send(side, ACK, host.next, peer.acked)


def conversation(rng, number, odd):
    """One TCP conversation, or several between the same ports. Some have begun before."""
    talk = Conversation(rng, number, odd)
    if rng.random() < 0.9:
        talk.handshake()
    for _ in range(rng.choice([3, 10, 40])):
        talk.step()
    return talk


class Exchange:
    def __init__(self, number):
        self.number, self.packets, self.notes, self.opens = number, [], [], []

    def add(self, side, packet, opens=None):
        self.packets.append((side, packet))
        self.opens.append(opens)
        self.notes.append("%d %s" % (side, packet.hex()))


def message(rng, version, side):
    """Protocol and payload of a datagram that begins or answers something; few kinds, so that they meet."""
    if rng.random() < 0.5:
        ports = (1000, 2000) if side == 0 else (2000, 1000)
        size = rng.choice([0, 0, 0, 5])
        return 17, struct.pack("!HHHH", *ports, rng.choice([8 + size, 8 + size, 8 + size, 7, 9 + size]), 0) + bytes(size)
    types = [0, 8, 13, 14, 15, 17, 9] if version == 4 else [128, 129, 139, 140, 135, 136, 143]
    icmp = struct.pack("!BBHHH", rng.choice(types), 0, 0, rng.choice([7, 7, 8]), rng.randrange(9))
    return 1 if version == 4 else 58, icmp[:rng.choice([8, 8, 8, 8, 7, 4])]


def exchange(rng, number):
    """UDP and ICMP queries of two hosts, and errors about them."""
    talk, version = Exchange(number), rng.choice([4, 6])
    for _ in range(rng.choice([2, 5, 20])):
        side = rng.randrange(2)
        if talk.packets and rng.random() < 0.4:
            about, quoted = rng.choice(talk.packets)
            if rng.random() < 0.8:
                side = 1 - about
            if rng.random() < 0.2:
                quoted = quoted[:rng.randrange(len(quoted) + 1)]
            kinds = [3, 4, 5, 11, 12] if version == 4 else [1, 2, 3, 4, 100]
            proto, payload = 1 if version == 4 else 58, bytes([rng.choice(kinds), 1]) + bytes(6) + quoted
        else:
            proto, payload = message(rng, version, side)
        talk.add(side, ip_packet(version, number, side, proto, payload))
    return talk


def tcp_of(frame):
    """(addresses, ports, flags, IP packet without padding and with TTL 64) of a TCP segment in a frame, or None."""
    offset = 12
    while frame[offset:offset + 2] in (b"\x81\0", b"\x88\xa8"):
        offset += 4
    ip = frame[offset + 2:]
    if frame[offset:offset + 2] == b"\x08\0" and len(ip) >= 40 and ip[9] == 6 and not int.from_bytes(ip[6:8], "big") & 0x3fff:
        header, total = (ip[0] & 15) * 4, int.from_bytes(ip[2:4], "big")
        start = ip[:8] + b"\x40\x06\0\0" + ip[12:header]
        ip = start[:10] + struct.pack("!H", checksum(start)) + start[12:] + ip[header:total]
        ends = ip[12:16], ip[16:20]
    elif frame[offset:offset + 2] == b"\x86\xdd" and len(ip) >= 60 and ip[6] == 6:
        header, total = 40, 40 + int.from_bytes(ip[4:6], "big")
        ip = ip[:7] + b"\x40" + ip[8:total]
        ends = ip[8:24], ip[24:40]
    else:
        return None
    if len(ip) != total or len(ip) < header + 20 or not all(map(is_host, ends)):
        return None
    return ends, (ip[header:header + 2], ip[header + 2:header + 4]), ip[header + 13], ip


def is_host(address):
    address = ipaddress.ip_address(address)
    return not (address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved
                or address.is_link_local)


def recorded(frames, complete=True):
    """The TCP conversations of a capture. complete: only those that begin with a SYN and its answer."""
    talks = {}
    for number, frame in enumerate(frames):
        found = tcp_of(frame)
        if found is None:
            continue
        (source, destination), (sport, dport), flags, packet = found
        one, other = (source, sport), (destination, dport)
        flow = talks.setdefault((min(one, other), max(one, other)), (Exchange(number), one, []))
        flow[0].add(0 if one == flow[1] else 1, packet, bool(flags & SYN))
        flow[2].append(flags & 63)
    return [talk for talk, _, flags in talks.values() if not complete or (
        flags[0] == SYN and SYN | ACK in flags and talk.packets[flags.index(SYN | ACK)][0] == 1)]
