# SPDX-License-Identifier: BSD-3-Clause
"""Two contestants, the same rings, core and generator, in turn: A B B A in short slices with the other one held. The
machine's speed drifts and each start of a process draws its own memory placement, so that only ratios of neighbors
count, and both are started anew several times within a contest."""

import shutil
import statistics
import tempfile
import time

from contestants import CONTROL, WORKER
from gaps import gaps_summary, interruptions
from generator import Generator

WORKLOADS = {
    "64 B, 1 flow": {"size": 64},
    "64 B, 10k flows": {"size": 64, "flows": 10000, "order": "random"},
    "64 B, 1M flows": {"size": 64, "flows": 1000000, "order": "random"},
    "1518 B": {"size": 1518, "flows": 10000, "order": "random"},
    "9000 B": {"size": 9000, "flows": 10000, "order": "random"},
    "IMIX": {"size": "imix", "flows": 10000, "order": "random"},
    # Of what the slower of both takes at full load.
    "64 B, half load": {"size": 64, "flows": 10000, "order": "random", "latency": 1, "load": 0.5},
}
LATENCIES = ("p50", "p90", "p99", "p99.9")  # microseconds
UNDISTURBED = tuple(name + " undisturbed" for name in LATENCIES)  # of packets on their way in no gap of the generator
FIGURES = ("mpps", "cycles", "lost", "left out") + LATENCIES + UNDISTURBED


def slice_of(generator, index, contestant, workload, ms):
    """Of one slice: packets a second, busy cycles a packet, the part that was lost or found no room, latencies."""
    words = dict(workload)
    blocked = words.pop("blocked", False)  # nothing comes back: the rate is that of what it took
    made = words.pop("made", False)  # by the contestant's device
    contestant.let_go()
    time.sleep(0.05)  # the turn in which it was held would count its rest as work
    before, dropped = contestant.cycles(), contestant.dropped() if made else 0
    result = generator.run(index, ms=ms, **words)
    after = contestant.cycles()
    dropped = contestant.dropped() - dropped if made else 0
    contestant.hold()
    through = result["all_received"]
    if contestant.rules and contestant.filters and (through > 0 if blocked else through == 0 < result["all_sent"]):
        raise RuntimeError("%s: of %d packets that it should %s, %d came through" % (
            contestant.name, result["all_sent"], "drop" if blocked else "pass", through))
    packets = after[1] - before[1] if after else 0
    refused = result["refused"] if "rate" in words else 0  # at full load that is how the generator waits
    lost = 0 if blocked else (result["lost"] + refused) / max(result["all_sent"] + refused, 1)
    return {"mpps": result["sent"] / result["seconds"] / 1e6 if blocked else result["mpps"],
            "cycles": (after[0] - before[0]) / packets if packets else None,
            "lost": dropped / max(packets, 1) if made else lost,
            **latencies(result)}


def latencies(result):
    if "latency_us" not in result:
        return dict.fromkeys(("left out",) + LATENCIES + UNDISTURBED)
    every, undisturbed = result["latency_us"], result["undisturbed_us"]
    return {"left out": 1 - undisturbed["samples"] / max(every["samples"], 1),
            **{name: every[name] for name in LATENCIES},
            **{name + " undisturbed": undisturbed[name] for name in LATENCIES}}


def mean(pair, key):
    values = [part[key] for part in pair if part[key] is not None]
    return statistics.fmean(values) if values else None


def with_rate(generator, contestants, workload, ms):
    """The workload at its part of the load that both take."""
    workload = dict(workload)
    load = workload.pop("load", None)
    if load is not None:
        full = dict(workload, latency=0)
        most = [slice_of(generator, index, contestant, full, ms)["mpps"]
                for index, contestant in enumerate(contestants)]
        workload["rate"] = "%.0f" % (load * min(most) * 1e6)
    return workload


def contest(make_a, make_b, workloads, pairs=15, starts=3, ms=1000, packed=False, tell=lambda text: None):
    """{workload: [pair]}; a pair is {"a": slice, "b": slice} of the means of two slices each."""
    results = {name: [] for name in workloads}
    for start in range(starts):
        directory = tempfile.mkdtemp(prefix="msh-contest-", dir="/tmp")
        contestants, generator = [make_a(), make_b()], None
        try:
            for index, contestant in enumerate(contestants):
                contestant.index = index
                contestant.start(directory)
            generator = Generator(contestants, directory, packed)
            for contestant in contestants:
                contestant.hold()
            count = pairs // starts + (start < pairs % starts)
            for name, workload in workloads.items():
                workload = with_rate(generator, contestants, workload, ms)
                for number in range(count):
                    slices = {0: [], 1: []}
                    for index in (0, 1, 1, 0) if number % 2 == 0 else (1, 0, 0, 1):
                        slices[index].append(slice_of(generator, index, contestants[index], workload, ms))
                    pair = {key: {figure: mean(slices[index], figure) for figure in FIGURES}
                            for index, key in enumerate("ab")}
                    if workload.get("latency"):  # both are held, and the generator has nothing to do
                        pair["machine"] = interruptions((CONTROL, WORKER), ms)
                    results[name].append(pair)
                    tell("%s, %s: %.2f against %.2f Mpps" % (contestants[1].name, name, pair["a"]["mpps"],
                                                             pair["b"]["mpps"]))
        finally:
            for contestant in contestants:  # whoever is held would not notice that the generator goes
                contestant.let_go()
            if generator:
                generator.stop()
            for contestant in contestants:
                contestant.stop()
            shutil.rmtree(directory, ignore_errors=True)
    return results


def summary(pairs):
    """Medians, and the ratio a:b of each figure with its quartiles; of what was lost or left out, the mean."""
    out = {"pairs": len(pairs)}
    machine = [pair["machine"] for pair in pairs if "machine" in pair]
    if machine:
        out["machine"] = gaps_summary(machine)
    for figure in FIGURES:
        both = [(pair["a"][figure], pair["b"][figure]) for pair in pairs]
        if figure in ("lost", "left out") and both and None not in both[0]:
            out[figure] = {"a": statistics.fmean(a for a, _ in both), "b": statistics.fmean(b for _, b in both)}
            continue
        both = [(a, b) for a, b in both if a and b]
        if not both:
            continue
        ratios = sorted(a / b for a, b in both)
        quarter = len(ratios) // 4
        out[figure] = {"a": statistics.median(a for a, _ in both), "b": statistics.median(b for _, b in both),
                       "ratio": statistics.median(ratios), "low": ratios[quarter], "high": ratios[-1 - quarter]}
    return out
