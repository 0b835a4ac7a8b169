# SPDX-License-Identifier: BSD-3-Clause
"""TCP from one guest to another (iperf3), by each contestant, started anew for each run and in alternating order. The
guests share one core and the contestant's loop has the other."""

import contextlib
import json
import os
import statistics
import sys
import tempfile

from contestants import CONTROL, Mshswitch, Ovs

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "lib"))
from guest import Guest  # noqa: E402

GUESTS = ("a", "b")


class MshswitchPlain(Mshswitch):
    name = "mshswitch, offloads off"
    vhost_options = " offloads off"


class OvsTso(Ovs):
    name = "OVS-DPDK, TSO on"
    settings = ("other_config:userspace-tso-enable=true",)
    connects = True  # it takes a guest's segments on ports of no other kind


CONTESTANTS = (Mshswitch, MshswitchPlain, OvsTso, Ovs)


def measure(make, seconds):
    """Mb/s that the receiver gets."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="msh-tcp-", dir="/tmp"))
        contestant = make()
        stack.callback(contestant.stop)
        contestant.start(directory)
        guests = []
        for number, (name, mac, port) in enumerate(zip(GUESTS, contestant.macs(), contestant.ports), 1):
            guests.append(Guest("tcp-" + name, [(port.removeprefix("path="), mac)],
                                ip="10.0.0.%d/24" % number, affinity=str(CONTROL), server=contestant.connects))
            stack.callback(guests[-1].close)
            guests[-1].start()
        for guest in guests:
            guest.wait_ready(180)
        # OVS takes seconds to find memory for a port, and only once the guest is there.
        guests[0].check("until ping -c 1 -W 1 10.0.0.2; do :; done", 60)
        guests[1].spawn("iperf3 -s")
        guests[1].check("until grep -q :1451 /proc/net/tcp /proc/net/tcp6; do sleep 0.2; done", 30)
        status, text = guests[0].run("iperf3 -c 10.0.0.2 -J -t %d" % seconds, seconds + 20)
        said = json.loads(text) if text.startswith("{") else {"error": "status %d, %r" % (status, text)}
        if "error" in said:
            raise RuntimeError("%s: iperf3: %s" % (contestant.name, said["error"]))
        return said["end"]["sum_received"]["bits_per_second"] / 1e6


def tcp(rounds, seconds, tell):
    """{contestant: [Mb/s, ...]}"""
    found = {make.name: [] for make in CONTESTANTS if make.is_there()}
    failed = set()
    for number in range(rounds):
        order = CONTESTANTS if number % 2 == 0 else reversed(CONTESTANTS)
        for make in order:
            if make.name in found and make.name not in failed:
                try:
                    found[make.name].append(measure(make, seconds))
                except RuntimeError as error:  # that others do not get through is a result
                    print(error, flush=True)
                    failed.add(make.name)
                    continue
                tell("%s: %.0f Mb/s" % (make.name, found[make.name][-1]))
    return found


def tcp_table(found):
    lines = ["| TCP from guest to guest | Mb/s, median | lowest to highest |", "|---|---|---|"]
    lines += ["| %s | %.0f | %.0f to %.0f |" % (name, statistics.median(values), min(values), max(values))
              if values else "| %s | nothing came through | |" % name for name, values in found.items()]
    return "\n".join(lines)
