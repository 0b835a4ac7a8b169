# SPDX-License-Identifier: BSD-3-Clause
"""A firewall VM and a host that is none, with their wires; the VM's rules in the switch and in a naive rule book."""

import contextlib

from lbnet import Host
from rulebook import Rule, Rulebook
from wire import Wire, make_frame

FW, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"  # as Host makes them
SIDES = {"in": ("peer", "fw"), "out": ("fw", "peer")}  # from whom to whom


class Bed:
    """A firewall VM and a host that is none, and the rules of the VM beside the naive ones."""

    def __init__(self, switch, stack):
        self.switch, self.book, self.markers = switch, Rulebook(), 0
        self.hosts = {name: stack.enter_context(contextlib.closing(
            Host(switch, name, number, ["10.0.0.%d/24" % number], driver="tap")))
            for number, name in enumerate(("fw", "peer"), 1)}
        switch.ctl("vm add fw port fw mac %s region %s/region" % (FW, switch.dir))
        switch.ctl("R F %s 10.0.0.1" % FW)
        self.wires = {name: stack.enter_context(Wire(host)) for name, host in self.hosts.items()}

    def add(self, rule):
        self.switch.ctl("rule add %s %s %d %s%s" % (FW, rule.side, rule.number, rule.verdict, rule.words()))
        self.book.add(rule)

    def let_markers_through(self):
        """What comes behind all frames says that they have been dealt with."""
        for side in SIDES:
            self.add(Rule(0, side, "allow", {"type": "0x88b5"}))

    def pass_through(self, side, frames):
        """Send them, and check that those came out that should have."""
        sender, receiver = SIDES[side]
        macs = {"fw": FW, "peer": PEER}
        self.markers += 1
        marker = make_frame(macs[sender], macs[receiver], 60, seed=self.markers)
        wanted = []
        for data, facts in frames:
            if self.book.decide(side, facts, len(data)) in ("allow", "vm"):
                wanted.append(data)
            self.wires[sender].send(data)
        self.wires[sender].send(marker)
        rule = self.book.rules[side][0]
        rule.packets, rule.bytes = rule.packets + 1, rule.bytes + len(marker)
        got = []
        while not got or got[-1] != marker:
            got.append(self.wires[receiver].receive())
            assert got[-1] is not None, "the marker did not come"
        assert got[:-1] == wanted

    def accounts_agree(self):
        """Once every packet on its way has arrived. How many the firewall dropped."""
        self.switch.wait_for(lambda: self.switch.drops()["in_flight"] == 0, 5, lambda: "missing: %s" % self.switch.drops())
        return self.dropped()

    def dropped(self):
        return next(row["packets"] for row in self.switch.drops()["reasons"] if row["reason"] == "firewall")

    def shown(self):
        rows = self.switch.ctl("rule show " + FW)
        return [{key: row[key] for key in row if key != "match"} for row in rows]
