# SPDX-License-Identifier: BSD-3-Clause
"""A guest's side of a region, as docs/protocol.md describes it, with nothing between a test and the bytes."""

import mmap
import os
import struct
import time

MAGIC, HEADER, COMMAND_HEAD, COMMAND_TAIL, EVENT_HEAD, EVENT_TAIL = 0x3148534D, 4096, 8192, 8256, 8320, 8384
STATUS = ("OK", "BAD", "DENIED", "NOTFOUND", "EXISTS", "FULL", "UNSUPPORTED", "THROTTLED", "FAILED")


class Region:
    def __init__(self, path):
        with open(path, "r+b") as stream:
            self.size = os.fstat(stream.fileno()).st_size
            self.memory = mmap.mmap(stream.fileno(), self.size)
        self.words = memoryview(self.memory).cast("I")  # one store each: struct would write byte by byte
        self.ring, self.cookie = self.size // 4, 0
        assert self.load(HEADER) == MAGIC
        self.head, self.tail = self.load(COMMAND_TAIL), self.load(EVENT_HEAD)
        self.store(COMMAND_HEAD, self.head)
        self.store(EVENT_TAIL, self.tail)

    def load(self, offset):
        return self.words[offset // 4]

    def store(self, offset, value):
        self.words[offset // 4] = value & 0xffffffff

    def put(self, position, data):
        for i, byte in enumerate(data):
            self.memory[self.ring + (position + i) % self.ring] = byte

    def get(self, position, length):
        return bytes(self.memory[2 * self.ring + (position + i) % self.ring] for i in range(length))

    def room(self):
        return self.ring - (self.head - self.load(COMMAND_TAIL)) % 2 ** 32

    def send(self, text, **head):
        """Into the command ring; head: fields of the record to lie about. Returns the cookie."""
        self.cookie += 1
        text = text if isinstance(text, bytes) else text.encode()
        record = struct.pack("<IHHQ", head.get("length", len(text)), head.get("kind", 1), 0, self.cookie) + text
        record += bytes(-len(record) % 8)
        while self.room() < len(record):
            time.sleep(0.0005)
        self.put(self.head, record)
        self.head += len(record)
        self.store(COMMAND_HEAD, self.head)
        return self.cookie

    def receive(self, timeout=5):
        """(kind, status word, cookie, text) of the next record."""
        end = time.monotonic() + timeout
        while self.load(EVENT_HEAD) == self.tail % 2 ** 32:
            assert time.monotonic() < end, "no answer within %g s" % timeout
            time.sleep(0.0002)
        length, kind, status, cookie = struct.unpack("<IHHQ", self.get(self.tail, 16))
        text = self.get(self.tail + 16, length).decode()
        self.tail += 16 + (length + 7) // 8 * 8
        self.store(EVENT_TAIL, self.tail)
        return kind, STATUS[status], cookie, text

    def ask(self, command, timeout=5):
        """(status, text) of the answer to this command; events and answers to others are passed over."""
        cookie = self.send(command)
        while True:
            kind, status, of, text = self.receive(timeout)
            if (kind, of) == (2, cookie):
                return status, text

    def slot(self, data, timeout=5):
        """These bytes as the slot from byte 0 on; the answer."""
        self.memory[1:4096] = data[1:].ljust(4095, b"\0")
        self.memory[0:1] = data[:1]
        end = time.monotonic() + timeout
        while self.memory[0:1] == b"@":
            assert time.monotonic() < end, "no answer in the slot within %g s" % timeout
            time.sleep(0.0005)
        return self.memory[:4096].split(b"\0")[0].decode().rstrip("\n")

    def close(self):
        self.words.release()
        self.memory.close()
