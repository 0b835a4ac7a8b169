# SPDX-License-Identifier: BSD-3-Clause
"""Frames that a guest leaves to be finished, and what they are to become: checksums (virtio 1.2, 5.1.6.2) and segments."""

import struct

from scapy.layers.inet import IP, TCP, UDP, in4_pseudoheader
from scapy.layers.inet6 import IPv6, in6_pseudoheader
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import checksum

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
NEEDS_CSUM, GSO = 1, {4: 1, 6: 4}


def head(version, transport, tags=()):
    packet = Ether(src=A, dst=B)
    for tag in tags:
        packet /= Dot1Q(vlan=tag)
    packet /= IP(src="10.0.0.1", dst="10.0.0.2", id=7) if version == 4 else IPv6(src="fd00::1", dst="fd00::2")
    return packet / transport


def tcp():
    return TCP(sport=1000, dport=80, seq=100, ack=5, flags="PA")


def pseudo(packet, layer):
    """The sum of the pseudo header (RFC 768, RFC 8200 8.1)."""
    make = in4_pseudoheader if IP in packet else in6_pseudoheader
    network = packet[IP if IP in packet else IPv6]
    return 0xffff ^ checksum(bytes(make(6 if layer is TCP else 17, network, len(packet[layer]))))


def unfinished(packet, seeded=True, gso_size=0):
    """(header, frame) as a guest leaves it. Not seeded: without the pseudo header's sum, so that only who computes that
    himself gets the right checksum."""
    version, layer = (4 if IP in packet else 6), (TCP if TCP in packet else UDP)
    begin, offset = len(packet) - len(packet[layer]), 16 if layer is TCP else 6
    packet = packet.copy()
    packet[layer].chksum = pseudo(packet, layer) if seeded else 0
    header = struct.pack("<BBHHHHH", NEEDS_CSUM, GSO[version] if gso_size else 0, begin + 20, gso_size, begin, offset, 0)
    return header, bytes(packet)


def finished(packet):
    """With all checksums, as scapy computes them."""
    return bytes(Ether(bytes(packet))).ljust(60, b"\0")


PACKETS = {
    "udp4": head(4, UDP(sport=9, dport=53)) / Raw(b"x" * 333),
    "tcp4": head(4, tcp()) / Raw(b"y" * 100),
    "udp6": head(6, UDP(sport=9, dport=53)) / Raw(b"z" * 1001),
    "tcp6": head(6, tcp()) / Raw(b"w" * 10),
    "tagged": head(4, tcp(), [5]) / Raw(b"t" * 300),
}


def segments(version, data, size, last="PA"):
    """What comes of a long packet (RFC 9293 3.1); last: flags of the last one."""
    made = []
    for number, at in enumerate(range(0, len(data), size)):
        packet = head(version, tcp()) / Raw(data[at:at + size])
        packet[TCP].seq += at
        packet[TCP].flags = last if at + size >= len(data) else "A"
        if version == 4:
            packet[IP].id += number
        made.append(finished(packet))
    return made
