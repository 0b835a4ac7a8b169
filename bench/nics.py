# SPDX-License-Identifier: BSD-3-Clause
"""Between a guest and a NIC, as far as a machine without one can tell: contests with testpmd, in which both have the same
device of DPDK's in the NIC's place. Towards it that is net_null, which frees what it is given; from it net_pcap, which
copies frames of a capture into fresh mbufs, for ever: they need addresses that a switch can learn and look up."""

import struct
import tempfile

from contest import contest, summary
from contestants import NIC_MAC, Mshswitch, Testpmd

SIZES = {"64 B": [64], "1518 B": [1518], "IMIX": [64, 64, 594, 64, 64, 594, 64, 1518, 594, 64, 64, 594]}
SOURCE = "52:54:00:00:02:01"
FRAMES = 480
FCS = 4


def frame(source, destination, number, size):
    """UDP over IPv4, from an address for each number."""
    length = size - FCS - 14
    words = [0x4500, length, 0, 0, 64 << 8 | 17, 0, 10 << 8, number, 10 << 8, 1]
    total = sum(words)
    words[5] = ~((total & 0xffff) + (total >> 16)) & 0xffff  # checksum
    ip = struct.pack(">10H", *words)
    udp = struct.pack(">HHHH", 1024 + number, 9, length - len(ip), 0)
    ether = bytes.fromhex((destination + source).replace(":", "")) + b"\x08\x00"
    return (ether + ip + udp).ljust(size - FCS, b"\0")


def write_capture(path, sizes, destination):
    with open(path, "wb") as stream:
        stream.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for number in range(FRAMES):
            bytes_ = frame(SOURCE, destination, number, sizes[number % len(sizes)])
            stream.write(struct.pack("<IIII", 0, 0, len(bytes_), len(bytes_)) + bytes_)


def nic(pairs, ms, tell=lambda text: None):
    """{peer: {workload: summary}}"""
    found = {}

    def measure(device, workloads):
        pairs_of = contest(lambda: Mshswitch(device=device), lambda: Testpmd(device=device), workloads, pairs=pairs,
                           ms=ms, tell=tell)
        found.update((name, summary(some)) for name, some in pairs_of.items())

    # Nothing comes back: what the ring took counts.
    measure("net_null0,no-rx=1", {"to a NIC, " + name: {
        "size": "imix" if name == "IMIX" else sizes[0], "flows": 10000, "order": "random", "to": NIC_MAC, "blocked": True}
        for name, sizes in SIZES.items()})
    with tempfile.TemporaryDirectory(prefix="msh-nic-", dir="/tmp") as directory:
        for name, sizes in SIZES.items():
            path = directory + "/frames.pcap"
            write_capture(path, sizes, Mshswitch().macs()[0])
            # The generator only receives; a packet a second is as good as none.
            measure("net_pcap0,rx_pcap=%s,infinite_rx=1" % path, {"from a NIC, " + name: {"rate": 1, "made": True}})
    return {Testpmd().name: found}
