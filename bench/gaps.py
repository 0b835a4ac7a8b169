#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The machine's own interruptions: what an empty loop on each core sees of them, and how long a packet that needs that
core at any moment would wait for their end, were all else free. No switch on this machine can do better."""

import gc
import json
import os
import statistics
import subprocess
import sys
import time

SHORTEST_NS = 1000  # a turn of the loop takes a tenth of it


def loop(ns):
    """(how long it took, lengths of the gaps), in ns."""
    gc.disable()
    gaps, clock = [], time.perf_counter_ns
    start = last = clock()
    while last < start + ns:
        now = clock()
        if now - last > SHORTEST_NS:
            gaps.append(now - last)
        last = now
    return last - start, gaps


def wait(gaps, total, part):
    """What so great a part of all moments in a time waits at most for the end of a gap; in their unit."""
    low, high = 0, max(gaps, default=0)
    while high - low > 1:
        middle = (low + high) / 2
        later = sum(gap - middle for gap in gaps if gap > middle)
        low, high = (middle, high) if later > (1 - part) * total else (low, middle)
    return high if low else 0


def interruptions(cores, ms):
    """One for each core, measured at the same time."""
    loops = [subprocess.Popen([sys.executable, __file__, str(core), str(ms)], stdout=subprocess.PIPE) for core in cores]
    found = [json.loads(process.communicate()[0]) for process in loops]
    return [{"core": core, "per second": len(gaps) / total * 1e9, "part": sum(gaps) / total,
             "longest": max(gaps, default=0) / 1000, "p99": wait(gaps, total, 0.99) / 1000,
             "p99.9": wait(gaps, total, 0.999) / 1000} for core, (total, gaps) in zip(cores, found)]


def gaps_summary(found):
    """Of several times: medians, and the longest of all."""
    return [{key: (max if key == "longest" else statistics.median)([one[key] for one in times]) for key in times[0]}
            for times in zip(*found)]


def gaps_table(summary):
    lines = ["| the machine's own interruptions | longer than 1 us, a second | part of the time | longest, us "
             "| wait for their end, us: p99 | p99.9 |", "|---|---|---|---|---|---|"]
    return "\n".join(lines + ["| core %d | %.0f | %.2f %% | %.0f | %.1f | %.1f |" % (
        one["core"], one["per second"], one["part"] * 100, one["longest"], one["p99"], one["p99.9"]) for one in summary])


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    json.dump(loop(int(sys.argv[2]) * 1000000), sys.stdout)
