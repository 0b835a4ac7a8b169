# SPDX-License-Identifier: BSD-3-Clause
"""A naive vhost-user front end: as much of a guest as a socket, a piece of memory and two split rings make. Cheap: hundreds
fit into a test. QEMU's docs/interop/vhost-user has the messages, virtio 1.2, 2.7 the rings."""

import mmap
import os
import socket
import struct
import time

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 1, 2, 3, 5, 8, 9, 10
SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_VRING_ENABLE = 12, 13, 15, 16, 18
REPLY_ACK = 3
CSUM, HOST_TSO4, HOST_TSO6 = 1 << 0, 1 << 11, 1 << 12
FEATURES = 1 << 32 | 1 << 30 | 1 << 15  # virtio 1, protocol features, mergeable buffers
SIZE, RING, GUEST = 1 << 16, 64, 0x100000
DESC, AVAIL, USED = 0, 0x400, 0x800  # of a ring, which begins at 0 or 0x1000
BUFFERS = 0x2000  # of the ring to the guest, 512 bytes each; those from it follow


class Frontend:
    """Connected and set up, rings not enabled. features: more than FEATURES."""

    def __init__(self, path, features=0):
        features |= FEATURES
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, SIZE)
        self.memory = mmap.mmap(self.fd, SIZE)
        self.base = 0x7f0000000000  # as this process might have it mapped
        offered = self.ask(GET_FEATURES)
        assert offered & features == features, hex(offered)
        self.say(SET_OWNER)
        self.say(SET_PROTOCOL_FEATURES, struct.pack("<Q", self.ask(GET_PROTOCOL_FEATURES) & 1 << REPLY_ACK))
        self.say(SET_FEATURES, struct.pack("<Q", features))
        self.say(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, GUEST, SIZE, self.base, 0), [self.fd])
        self.events = [os.eventfd(0), os.eventfd(0)]
        for ring in (0, 1):
            at = self.base + 0x1000 * ring
            self.say(SET_VRING_NUM, struct.pack("<II", ring, RING))
            self.say(SET_VRING_BASE, struct.pack("<II", ring, 0))
            self.say(SET_VRING_ADDR, struct.pack("<IIQQQQ", ring, 0, at + DESC, at + USED, at + AVAIL, 0))
            self.say(SET_VRING_CALL, struct.pack("<Q", ring), [self.events[ring]])
            self.say(SET_VRING_KICK, struct.pack("<Q", ring), [self.events[ring]])
        for number in range(RING):  # all room that there is
            self.desc(0, number, BUFFERS + 512 * number, 512, 2)
            self.put("<H", AVAIL + 4 + 2 * number, number)
        self.put("<H", AVAIL + 2, RING)
        self.sent = 0

    def say(self, request, payload=b"", fds=()):
        data = struct.pack("<III", request, 1, len(payload)) + payload
        socket.send_fds(self.socket, [data], list(fds))

    def ask(self, request):
        self.say(request)
        _, _, size = struct.unpack("<III", self.socket.recv(12, socket.MSG_WAITALL))
        return struct.unpack("<Q", self.socket.recv(size, socket.MSG_WAITALL))[0]

    def enable(self):
        for ring in (0, 1):
            self.say(SET_VRING_ENABLE, struct.pack("<II", ring, 1))

    def put(self, layout, at, *values):
        struct.pack_into(layout, self.memory, at, *values)

    def get(self, at):
        return struct.unpack_from("<H", self.memory, at)[0]

    def desc(self, ring, number, address, length, flags):
        self.put("<QIHH", 0x1000 * ring + 16 * number, GUEST + address, length, flags, 0)

    def send(self, frame, header=bytes(12)):
        """One frame, by the next descriptor; at most RING without a look at what came back. One of more than 500 bytes
        overwrites those after it."""
        slot = self.sent % RING
        at = BUFFERS + 512 * (RING + slot % 32)
        self.memory[at:at + 12 + len(frame)] = header + frame
        self.desc(1, slot, at, 12 + len(frame), 0)
        self.put("<H", 0x1000 + AVAIL + 4 + 2 * slot, slot)
        self.sent += 1
        self.put("<H", 0x1000 + AVAIL + 2, self.sent & 0xffff)

    def taken(self):
        """Frames that the switch has taken."""
        return self.get(0x1000 + USED + 2)

    def received(self):
        """Frames that have come, at most RING."""
        frames = []
        for number in range(self.get(USED + 2)):
            index, length = struct.unpack_from("<II", self.memory, USED + 4 + 8 * number)
            at = BUFFERS + 512 * index
            frames.append(self.memory[at + 12:at + length])
        return frames

    def wait(self, what, timeout=5):
        """Seconds until it is true."""
        start = time.monotonic()
        while not what():
            assert time.monotonic() - start < timeout, "nothing within %g s" % timeout
            time.sleep(0.0002)
        return time.monotonic() - start

    def close(self):
        self.socket.close()
        self.memory.close()
        for fd in (self.fd, *self.events):
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
