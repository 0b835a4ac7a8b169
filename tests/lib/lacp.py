# SPDX-License-Identifier: BSD-3-Clause
"""The other side of a bond by LACP (IEEE 802.1AX): answers what comes over its wires, so that they become one link."""

import struct

SLOW = bytes.fromhex("0180c2000002")
SYSTEM = bytes.fromhex("0200000000fe")
AGREED = 0x01 | 0x04 | 0x08 | 0x10 | 0x20  # active, aggregatable, in sync, collecting, distributing


class Partner:
    """Takes the LACP frames out of what the wires receive. states: of the switch's side, as it says, by wire."""

    def __init__(self, *wires):
        self.states = {}
        for number, wire in enumerate(wires):
            wire.tap = lambda frame, number=number, wire=wire: self.answer(frame, number, wire)

    def answer(self, frame, number, wire):
        if frame[:6] != SLOW or frame[12:15] != b"\x88\x09\x01":
            return False
        actor = frame[18:33]  # priority, system, key, port priority, port, state
        self.states[number] = actor[14]
        ours = struct.pack("!H6sHHHB", 0x8000, SYSTEM, 1, 0x8000, number + 1, AGREED)
        wire.send(SLOW + SYSTEM + b"\x88\x09\x01\x01" + b"\x01\x14" + ours + bytes(3) + b"\x02\x14" + actor + bytes(3)
                  + b"\x03\x10" + bytes(14) + b"\x00\x00" + bytes(50))
        return True

    def agreed(self, *numbers):
        return all(self.states.get(number, 0) & 0x38 == 0x38 for number in numbers)
