# SPDX-License-Identifier: BSD-3-Clause
"""The search for the highest rate without loss, on rigs that lose as told."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import loss  # noqa: E402
import report  # noqa: E402


class FakeRig:
    """Loses above `most` packets a second, and below in each run of which noise() says so."""

    def __init__(self, most, full=10e6, noise=lambda run: False, made=1.0):
        self.most, self.full, self.noise, self.made, self.runs = most, full, noise, made, 0

    def run(self, rate, ms, workload):
        self.runs += 1
        seconds = ms / 1000
        sent = int((float(rate) or self.full) * self.made * seconds)
        lost = 1 if float(rate) > self.most or self.noise(self.runs) else 0
        return {"sent": sent, "received": sent - lost, "all_sent": sent, "lost": lost, "refused": 0, "seconds": seconds}


def search(rig, allowed=0):
    return loss.search(rig, {}, 1000, lambda text: None, allowed)


@pytest.mark.parametrize("most", [10e6, 7.3e6, 0.2e6])
def test_finds_it(most):
    assert 0 <= most - search(FakeRig(most)) <= 10e6 * loss.PRECISION


def test_none():
    assert search(FakeRig(0)) == 0


def test_allowed():
    """These rigs lose one packet of up to 10 million in a run."""
    assert search(FakeRig(0), allowed=1 / 5e6) == 10e6
    assert search(FakeRig(4e6), allowed=1 / 20e6) <= 4e6


def test_noise_is_tried_again():
    """What the machine takes away in two of three runs changes nothing."""
    assert 0 <= 6e6 - search(FakeRig(6e6, noise=lambda run: run % 3 != 0)) <= 10e6 * loss.PRECISION


def test_what_was_made_counts():
    assert search(FakeRig(10e6, made=0.95)) == 9.5e6 * 0.95
    assert search(FakeRig(10e6, made=0.8)) == 0


def test_counters():
    switch = {"switch received": 10, "switch forwarded": 9, "switch dropped": 1, "switch sent": 9}
    result = {"all_sent": 10, "all_received": 9, "switch": switch}
    assert loss.disagreements(result) == []
    assert loss.disagreements(dict(result, all_sent=11)) == ["generator sent 11, switch received 10"]
    assert len(loss.disagreements(dict(result, switch=dict(switch, **{"switch sent": 8})))) == 2


def test_table():
    long = {"seconds": 60.0, "mpps": 4.0, "all_sent": 240, "lost": 0, "refused": 1, "silence_us": 300.2,
            "gaps": {"longest_us": 20.0}}
    machine = [{"core": 1, "per second": 100, "part": 0.01, "longest": 310, "p99": 0, "p99.9": 2}]
    found = {"64 B": {"mpps": 5.0, "long": long, "ring_us": 256.0, "disagreements": [], "machine": machine},
             "1518 B": {"mpps": 0.0}}
    lines = report.loss_table(found, 0).splitlines()
    assert lines[2:4] == ["| 64 B | 5.00 | 60 s, 4.00 Mpps | 240 | 0 | 1 | 256 | 300 | 20 | agree to the packet |",
                          "| 1518 B | none found | | | | | | | | |"]
    assert lines[-1] == "| core 1 | 100 | 1.00 % | 310 | 0.0 | 2.0 |"
    assert "at most 10 ppm" in report.loss_table(found, 10)
