# SPDX-License-Identifier: BSD-3-Clause
"""Frames as they are, to the byte, at the hosts of lbnet; and a pair of hosts between which nothing may be lost."""

import contextlib
import random
import select
import socket
import struct
import threading
import time

import pytest

from lbnet import Host

SOL_PACKET, PACKET_AUXDATA, VLAN_VALID, OUTGOING = 263, 8, 1 << 4, 4
SO_RCVBUFFORCE = 33
KIND = 0x88b5  # for local experiments (IEEE 802), so that no kernel answers


def not_leaking(kinds):
    """Parameters, those that the leak checker has nothing to say about for the sanitizer build too: the driver of AF_XDP
    forgets 80 bytes with each port."""
    return [pytest.param(kind, marks=[] if kind == "af_xdp" else pytest.mark.asan) for kind in kinds]


class Wire:
    """A raw socket at eth0 of a host."""

    def __init__(self, host):
        self.socket = host.capture()
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)

    def send(self, frame):
        self.socket.send(frame)

    def receive(self, timeout=5):
        """The next frame that comes in, or None. The kernel takes the VLAN tag out; here it is in its place again."""
        end = time.monotonic() + timeout
        while select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
            data, extra, _, address = self.socket.recvmsg(1 << 16, 256)
            if address[2] == OUTGOING:
                continue
            for level, kind, value in extra:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value)
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA) and status & VLAN_VALID:
                    data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
            return data
        return None

    def receive_all(self, count, timeout=5):
        """So many frames."""
        found = []
        while len(found) < count:
            frame = self.receive(timeout)
            assert frame is not None, "only %d of %d frames came" % (len(found), count)
            found.append(frame)
        return found

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def make_frame(source, target, size, tag=None, seed=0):
    """size: bytes without the tag; tag: priority and VLAN"""
    head = mac_bytes(target) + mac_bytes(source)
    if tag is not None:
        head += struct.pack("!HH", 0x8100, tag)
    return head + struct.pack("!H", KIND) + random.Random((size, tag, seed).__repr__()).randbytes(size - 14)


class Steady:
    """Two hosts beside it all, VMs to the switch: a sends a frame to b each millisecond. end() finds that b has got all
    of them, once each and in order, and that the counters say so. Their rings have room for seconds: that this machine has
    other things to do is no loss."""

    def __init__(self, switch):
        self.switch, self.sent, self.got, self.stop = switch, 0, [], threading.Event()
        with contextlib.ExitStack() as stack:
            self.hosts = []
            for number, name in ((201, "calm1"), (202, "calm2")):
                self.hosts.append(stack.enter_context(contextlib.closing(Host(switch, name, number, [], options=",framecnt=4096"))))
                switch.ctl("vm add %s port %s mac %s" % (name, name, self.hosts[-1].mac))
            self.a, self.b = [stack.enter_context(Wire(host)) for host in self.hosts]
            self.stack = stack.pop_all()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        head = make_frame(self.hosts[0].mac, self.hosts[1].mac, 14)
        while not self.stop.is_set():
            self.a.send(head + struct.pack("!I", self.sent) + bytes(60))
            self.sent += 1
            time.sleep(0.001)

    def receive(self):
        head = make_frame(self.hosts[0].mac, self.hosts[1].mac, 14)
        while not self.stop.is_set() or len(self.got) < self.sent:
            frame = self.b.receive(0.5)
            if frame is not None and frame.startswith(head):
                self.got.append(struct.unpack("!I", frame[14:18])[0])
            elif frame is None and self.stop.is_set():
                return

    def end(self):
        while self.sent <= 100 and self.threads[0].is_alive():  # what went on beside it was short
            time.sleep(0.01)
        self.stop.set()
        for thread in self.threads:
            thread.join(20)
        assert self.sent > 100 and self.got == list(range(self.sent)), "%d of %d came" % (len(self.got), self.sent)
        a, b = self.switch.port("calm1"), self.switch.port("calm2")
        assert (a["rx_packets"], a["forwarded"], a["dropped"]) == (self.sent, self.sent, 0)
        assert b["tx_packets"] >= self.sent  # besides, what was flooded

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(20)
        self.stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
