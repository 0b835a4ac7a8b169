# SPDX-License-Identifier: BSD-3-Clause
"""What the demo measures, and when it counts as true.

Each counter is read together with the clock of whoever counts: the guest's for what the guest counts."""

import statistics
import time

LESS_PACKETS = 10  # times fewer packets into the VM, at least
ABOUT = 0.7  # what is to stay may lose this much to the noise of a shared machine

# (key, words, unit, digits); a key that a part does not have is left out.
FIGURES = (
    ("vm_packets", "packets into the VM", "/s", 0),
    ("vm_interrupts", "its virtio interrupts", "/s", 0),
    ("vm_cpu", "its CPU, as it sees it", "%", 1),
    ("host_cpu", "its QEMU's CPU on the host", "%", 1),
    ("switch_packets", "decided by the switch", "/s", 0),
    ("blocked_sent", "blocked packets sent", "/s", 0),
    ("blocked_leaked", "blocked packets that leaked", "", 0),
    ("good_served", "good requests served", "/s", 1),
    ("good_failed", "good requests that failed", "", 0),
    ("good_throughput", "good throughput", "Mb/s", 2),
    ("good_time", "time of a good request", "ms", 1),
    ("web1_requests", "connections to web1", "/s", 1),
    ("web2_requests", "connections to web2", "/s", 1),
)


class Meter:
    """Reads the counters of one part: box is its middlebox; flood and get, to be set, are jobs in the client."""

    def __init__(self, lab, box, flood=None):
        self.lab, self.box, self.flood, self.get = lab, box, flood, None
        self.sample = lab.guests[box].sample(0.5)

    def read(self):
        """Counters as {key: (value, at what time)}."""
        box, get = last(self.sample), last(self.get)
        cpu = box["cpu"]
        device = box["net"]["eth0"]["device"]
        interrupts = sum(count for name, count in box["irq"].items() if name.startswith(device + "-"))
        now = time.monotonic()
        counters = {
            "vm_packets": (box["net"]["eth0"]["rx_packets"], box["time"]),
            "vm_interrupts": (interrupts, box["time"]),
            "vm_cpu": (100 * (sum(cpu.values()) - cpu["idle"] - cpu["iowait"]), sum(cpu.values())),
            "host_cpu": (100 * self.lab.cpu_seconds(self.box), now),
            "switch_packets": (sum(self.lab.handled(self.box)), now),
            "good_served": (get["ok"], get["time"]),
            "good_throughput": (get["bytes"] * 8 / 1e6, get["time"]),
            "good_time": (get["waited"] * 1000, get["ok"]),
            "good_failed": (get["failed"], None),
        }
        if self.flood:
            flood = last(self.flood)
            counters["blocked_sent"] = (flood["sent"], flood["time"])
        return counters

    def read_all(self):
        """read(), and what the servers have counted: asking them costs too much to do it all the time."""
        counters = self.read()
        if self.flood:
            counters["blocked_leaked"] = (self.lab.seen("web1", "blocked"), None)
        else:
            for web in ("web1", "web2"):
                counters[web + "_requests"] = (self.lab.seen(web, "requests"), time.monotonic())
        return counters

    def close(self):
        self.sample.stop()


def last(job):
    """The newest sample of a job; waits for the first one."""
    end = time.monotonic() + 20
    while True:
        samples = job.samples()
        if samples:
            return samples[-1]
        if job.rc is not None or time.monotonic() > end:
            raise RuntimeError("%s: `%s` gives no samples: %s" % (job.guest.name, job.command, job.output()))
        time.sleep(0.1)


def rates(first, second):
    """Figures of the time between two readings: rates, or differences where there is no clock."""
    figures = {}
    for key, (value, at) in second.items():
        if key not in first:
            continue
        change = value - first[key][0]
        if at is None:
            figures[key] = change
        else:
            passed = at - first[key][1]
            figures[key] = change / passed if passed > 0 else 0
    return figures


def measure(meter, seconds, progress, before=None):
    """(figures of that many seconds, the last reading). progress is called each second with the figures of that second
    and the time left. Counts without a clock go on from the reading before: nothing between two phases is missed."""
    first = previous = meter.read_all()
    first = {key: (before[key] if before and value[1] is None else value) for key, value in first.items()}
    end = time.monotonic() + seconds
    while True:
        time.sleep(max(0, min(1, end - time.monotonic())))
        if time.monotonic() >= end:
            final = meter.read_all()
            return rates(first, final), final
        now = meter.read()
        progress(rates(previous, now), end - time.monotonic())
        previous = now


def summary(rounds):
    """Figures of several rounds: the median, but the sum of what should be 0 in each."""
    return {key: (statistics.median if unit else sum)([figures[key] for figures in rounds])
            for key, _, unit, _ in FIGURES if rounds and key in rounds[0]}


def failures(part, before, after):
    """Why the story did not come true, a sentence each."""
    found = []

    def expect(true, sentence, *values):
        if not true:
            found.append(part + ": " + sentence % values)

    packets = before["vm_packets"], after["vm_packets"]
    expect(packets[1] * LESS_PACKETS <= packets[0], "packets into the VM went from %.0f/s to %.0f/s, which is not %d times "
           "fewer", *packets, LESS_PACKETS)
    for key, words in (("vm_interrupts", "interrupts"), ("vm_cpu", "CPU"), ("host_cpu", "host CPU")):
        expect(after[key] < before[key], "%s did not fall: %.1f, then %.1f", words, before[key], after[key])
    expect(before["switch_packets"] == 0, "the switch decided before it was told to")
    expect(after["switch_packets"] > 0, "the switch decided nothing")
    for name, figures in (("before", before), ("after", after)):
        expect(figures["good_served"] > 0, "no good request was served %s the hand-over", name)
        expect(figures["good_failed"] == 0, "%d good requests failed %s the hand-over", figures["good_failed"], name)
        expect(figures.get("blocked_leaked", 0) == 0, "%d blocked packets leaked %s the hand-over",
               figures.get("blocked_leaked", 0), name)
        for web in ("web1", "web2"):
            expect(figures.get(web + "_requests", 1) > 0, "%s got no connection %s the hand-over", web, name)
    expect(after["good_served"] >= ABOUT * before["good_served"], "good requests fell from %.1f/s to %.1f/s",
           before["good_served"], after["good_served"])
    if "blocked_sent" in before:
        sent = before["blocked_sent"], after["blocked_sent"]
        expect(sent[0] > 0 and sent[1] >= ABOUT * sent[0], "the flood became less: %.0f/s, then %.0f/s", *sent)
    return found
