# SPDX-License-Identifier: BSD-3-Clause
"""A naive model of a learning switch without VMs: dicts and lists, no notion of how the real one works."""

import struct


class Learning:
    """Ports by name, each with the list of frames that leave by it."""

    def __init__(self, largest):
        self.largest = largest
        self.out, self.known, self.drops = {}, {}, {"runt": 0, "same_port": 0, "no_port": 0, "too_big": 0}

    def add(self, port):
        self.out[port] = []

    def feed(self, port, frame, learn=True):
        if len(frame) < 14:
            self.drops["runt"] += 1
            return
        target, source, kind = frame[:6], frame[6:12], struct.unpack("!H", frame[12:14])[0]
        vlan = struct.unpack("!H", frame[14:16])[0] & 0xfff if kind == 0x8100 and len(frame) >= 18 else 0
        if learn and not source[0] & 1 and any(source):
            self.known[source, vlan] = port
        where = None if target[0] & 1 else self.known.get((target, vlan))
        if where == port:
            self.drops["same_port"] += 1
        elif where:
            self.send(where, frame)
        elif len(self.out) == 1:
            self.drops["no_port"] += 1
        else:
            for other in self.out:
                if other != port:
                    self.send(other, frame)

    def send(self, port, frame):
        if len(frame) > self.largest:
            self.drops["too_big"] += 1
        else:
            self.out[port].append(frame)
