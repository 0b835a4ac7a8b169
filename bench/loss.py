# SPDX-License-Identifier: BSD-3-Clause
"""The highest rate without loss (RFC 2544, 26.1), by halving, and a long run at 80 % of it, after which the counters of
generator and switch must agree to the packet."""

import shutil
import tempfile

from contestants import Mshswitch
from generator import Generator

PART = 0.8      # of the rate that was found, in the long run
PRECISION = 0.01
RING = 1024
TRIES = 3  # what the machine takes away looks like loss, never like its absence: one good run of these is enough


def counters(switch):
    a, b = switch.port("a"), switch.port("b")
    return {"switch received": a["rx_packets"], "switch forwarded": a["forwarded"], "switch dropped": a["dropped"],
            "switch sent": b["tx_packets"]}


def run(switch, generator, **words):
    """The generator's result, with what the switch counted meanwhile."""
    before = counters(switch)
    result = generator.run(0, **words)
    after = counters(switch)
    return dict(result, switch={name: after[name] - before[name] for name in after})


class Rig:
    """The switch with a generator."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="msh-loss-", dir="/tmp")
        self.contestant, self.generator = Mshswitch(), None

    def __enter__(self):
        try:
            self.contestant.start(self.directory)
            self.generator = Generator([self.contestant], self.directory, ring=RING)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.generator:
            self.generator.stop()
        self.contestant.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, rate, ms, workload, drain=20):
        return run(self.contestant.switch, self.generator, ms=ms, rate=rate, drain=drain, **workload)


def trouble(result, rate):
    """What went wrong with this rate, or "". What the ring did not take would have been lost on a wire."""
    if result["lost"] or result["refused"]:
        return "%d lost, %d found no room" % (result["lost"], result["refused"])
    made = result["sent"] / result["seconds"]
    return "the generator made %.3f only" % (made / 1e6) if made < 0.99 * rate else ""


def search(rig, workload, ms, tell):
    """Packets a second, 0 when even the lowest rate that was tried loses."""
    low, high = 0, rig.run(0, ms, workload)["received"] * 1000 / ms
    step = high * PRECISION
    rate = high
    while high - low > step:
        troubles = []
        while len(troubles) < TRIES and "" not in troubles:
            troubles.append(trouble(rig.run("%.0f" % rate, ms, workload), rate))
        clean = "" in troubles
        tell("%.3f Mpps: %s" % (rate / 1e6, "no loss" if clean else "; ".join(troubles)))
        low, high = (rate, high) if clean else (low, rate)
        rate = (low + high) / 2
    return low


def disagreements(result):
    """Sentences about counters that do not agree."""
    switch = result["switch"]
    pairs = [("generator sent", result["all_sent"], "switch received", switch["switch received"]),
             ("generator received", result["all_received"], "switch sent", switch["switch sent"]),
             ("switch received", switch["switch received"], "switch forwarded + dropped",
              switch["switch forwarded"] + switch["switch dropped"]),
             ("switch forwarded", switch["switch forwarded"], "switch sent", switch["switch sent"])]
    return ["%s %d, %s %d" % pair for pair in pairs if pair[1] != pair[3]]


def loss(workloads, ms, seconds, tell=lambda text: None):
    """{workload: {"mpps": without loss, "long": {...}, "disagreements": [...]}}"""
    found = {}
    with Rig() as rig:
        for name, workload in workloads.items():
            tell(name)
            rate = search(rig, workload, ms, tell)
            found[name] = {"mpps": rate / 1e6}
            if rate == 0:
                continue
            result = rig.run("%.0f" % (rate * PART), seconds * 1000, workload, drain=500)
            found[name].update(long=result, disagreements=disagreements(result))
    return found
