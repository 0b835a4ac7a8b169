# SPDX-License-Identifier: BSD-3-Clause
"""What a second worker adds, on two cores and without a third for a generator: msh-scaling is the switch with guests in
its own process, and only the time of the workers' loops counts. Beside it, what two cores of this machine give when
both are busy: two processes with one worker each."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile

from contestants import BUILD, MEMORY_MB, await_end

KINDS = ("one worker", "two workers", "two workers, all handed over", "two switches of one worker")
ONE, BOTH = KINDS[0], 3  # workers by bits


class Inside:
    """A switch with guests in its process: its main lcore sleeps on core 0, its workers have cores 0 and 1."""

    def __init__(self, huge=True):
        self.directory = tempfile.mkdtemp(prefix="msh-scaling-", dir="/tmp")
        command = [BUILD + "/bench/msh-scaling", "--lcores", "0@0,1@0,2@1", "-m", str(MEMORY_MB), "--no-pci",
                   "--no-telemetry", "--log-level=error", "--in-memory" if huge else "--no-huge",
                   "--file-prefix=" + os.path.basename(self.directory), "--", self.directory]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
                                        env=dict(os.environ, RUNTIME_DIRECTORY=self.directory))

    def begin(self, workers, ms, where="own"):
        self.process.stdin.write("%d %s %d\n" % (workers, where, ms))
        self.process.stdin.flush()

    def end(self):
        """(Mpps, cycles a packet) of the workers' loops, were they without guests to run."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("msh-scaling ended with %s" % self.process.wait())
        answer = json.loads(line)
        ran = [one for one in answer["workers"] if one["packets"]]
        return (sum(answer["hz"] * one["packets"] / one["cycles"] for one in ran) / 1e6,
                sum(one["cycles"] for one in ran) / max(sum(one["packets"] for one in ran), 1))

    def run(self, *words):
        self.begin(*words)
        return self.end()

    def close(self):
        self.process.stdin.close()
        await_end(self.process)
        self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def both(slices):
    return [sum(mpps for mpps, _ in slices), statistics.fmean(cycles for _, cycles in slices)]


def slice_of(kind, first, second, ms):
    if kind == ONE:  # on either core: they need not be alike
        mpps, cycles = both([first.run(1, ms), first.run(2, ms)])
        return [mpps / 2, cycles]
    if kind == KINDS[3]:
        first.begin(1, ms)
        second.begin(2, ms)
        return both([first.end(), second.end()])
    return first.run(BOTH, ms, "across" if kind == KINDS[2] else "own")


def scaling(pairs, ms, starts=3, huge=True, tell=lambda text: None):
    """[{kind: (Mpps, cycles a packet)}]: each of the mean of two slices, in one order and in the other."""
    found = []
    for start in range(starts):
        first, second = Inside(huge), Inside(huge)
        try:
            for _ in range(pairs // starts + (start < pairs % starts)):
                slices = {kind: [] for kind in KINDS}
                for kind in KINDS + KINDS[::-1]:
                    slices[kind].append(slice_of(kind, first, second, ms))
                found.append({kind: [statistics.fmean(values) for values in zip(*two)] for kind, two in slices.items()})
                tell(", ".join("%s %.2f Mpps" % (kind, found[-1][kind][0]) for kind in KINDS))
        finally:
            first.close()
            second.close()
    return found


def scaling_summary(found):
    """{kind: medians of Mpps and cycles, and of the ratio to one worker, with its quartiles}"""
    out = {}
    for kind in KINDS:
        ratios = sorted(one[kind][0] / one[ONE][0] for one in found)
        quarter = len(ratios) // 4
        out[kind] = {"mpps": statistics.median(one[kind][0] for one in found),
                     "cycles": statistics.median(one[kind][1] for one in found), "pairs": len(found),
                     "ratio": statistics.median(ratios), "low": ratios[quarter], "high": ratios[-1 - quarter]}
    return out


def scaling_table(summary):
    lines = ["| 64 B, time of the workers' loops | cycles a packet | Mpps, all workers | times one worker (quartiles) | pairs |",
             "|---|---|---|---|---|"]
    return "\n".join(lines + ["| %s | %.0f | %.1f | %.2f (%.2f-%.2f) | %d |" % (
        kind, one["cycles"], one["mpps"], one["ratio"], one["low"], one["high"], one["pairs"])
        for kind, one in summary.items()])
