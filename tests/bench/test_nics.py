# SPDX-License-Identifier: BSD-3-Clause
"""What a device in a NIC's place sends: frames that a switch learns, looks up and takes for IPv4."""

import os
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import nics  # noqa: E402

MAC = "52:54:00:00:00:10"


@pytest.mark.parametrize("name", nics.SIZES)
def test_capture(tmp_path, name):
    sizes = nics.SIZES[name]
    nics.write_capture(str(tmp_path / "pcap"), sizes, MAC)
    frames = list(rdpcap(str(tmp_path / "pcap")))
    assert [len(frame) + nics.FCS for frame in frames] == sizes * (nics.FRAMES // len(sizes))
    assert {(frame[Ether].dst, frame[Ether].src) for frame in frames} == {(MAC, nics.SOURCE)}
    assert len({(frame[IP].src, frame[UDP].sport) for frame in frames}) == nics.FRAMES
    for frame in frames:
        assert frame[IP].len == len(frame) - 14 and frame[UDP].len == frame[IP].len - 20
        again = frame[IP].copy()
        del again.chksum
        assert IP(bytes(again)).chksum == frame[IP].chksum
