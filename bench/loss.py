# SPDX-License-Identifier: BSD-3-Clause
"""The highest rate without loss (RFC 2544, 26.1), by halving, and a long run at 80 % of it, after which the counters of
generator and switch must agree to the packet."""

import shutil
import tempfile

from contestants import CONTROL, WORKER, Mshswitch
from gaps import interruptions
from generator import Generator

PART = 0.8      # of the rate that was found, in the long run
PRECISION = 0.01
MADE = 0.9  # of a rate is enough: what was made is what counts
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

    def machine(self, ms):
        """What it does by itself, in place of the switch and the generator."""
        self.contestant.hold()
        try:
            return interruptions((CONTROL, WORKER), ms)
        finally:
            self.contestant.let_go()


def made(result):
    """Packets a second that the generator offered: interruptions of its own are not caught up with."""
    return (result["sent"] + result["refused"]) / result["seconds"]


def trouble(result, rate, allowed=0):
    """What went wrong with this rate, or "". What the ring did not take would have been lost on a wire."""
    gone = result["lost"] + result["refused"]
    if gone > allowed * (result["all_sent"] + result["refused"]):
        return "%d lost, %d found no room" % (result["lost"], result["refused"])
    return "the generator made %.3f only" % (made(result) / 1e6) if made(result) < MADE * rate else ""


def search(rig, workload, ms, tell, allowed=0):
    """Packets a second, as offered; 0 when even the lowest rate that was tried loses. allowed: part that may be
    lost."""
    low, high, found = 0, rig.run(0, ms, workload)["received"] * 1000 / ms, 0
    step = high * PRECISION
    rate = high
    while high - low > step:
        troubles = []
        while len(troubles) < TRIES and "" not in troubles:
            result = rig.run("%.0f" % rate, ms, workload)
            troubles.append(trouble(result, rate, allowed))
        clean = "" in troubles
        tell("%.3f Mpps: %s" % (rate / 1e6, "no loss" if clean else "; ".join(troubles)))
        if clean:
            low, found = rate, made(result)
        else:
            high = rate
        rate = (low + high) / 2
    return found


def disagreements(result):
    """Sentences about counters that do not agree."""
    switch = result["switch"]
    pairs = [("generator sent", result["all_sent"], "switch received", switch["switch received"]),
             ("generator received", result["all_received"], "switch sent", switch["switch sent"]),
             ("switch received", switch["switch received"], "switch forwarded + dropped",
              switch["switch forwarded"] + switch["switch dropped"]),
             ("switch forwarded", switch["switch forwarded"], "switch sent", switch["switch sent"])]
    return ["%s %d, %s %d" % pair for pair in pairs if pair[1] != pair[3]]


def loss(workloads, ms, seconds, allowed=0, tell=lambda text: None):
    """{workload: {"mpps": without loss, "long": {...}, "ring_us": what a ring lasts then, "disagreements": [...],
    "machine": interruptions in as long a time}}"""
    found = {}
    with Rig() as rig:
        for name, workload in workloads.items():
            tell(name)
            rate = search(rig, workload, ms, tell, allowed)
            found[name] = {"mpps": rate / 1e6}
            if rate == 0:
                continue
            result = rig.run("%.0f" % (rate * PART), seconds * 1000, workload, drain=500)
            found[name].update(long=result, ring_us=RING / made(result) * 1e6, disagreements=disagreements(result),
                               machine=rig.machine(seconds * 1000))
    return found
