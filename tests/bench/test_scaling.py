# SPDX-License-Identifier: BSD-3-Clause
"""Two workers between guests in one process: each works where and as it was told, and no packet is lost, which
msh-scaling looks at itself."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import scaling  # noqa: E402


@pytest.fixture(scope="module")
def inside():
    inside = scaling.Inside(huge=False)
    yield inside
    inside.close()
    assert inside.process.returncode == 0


@pytest.mark.parametrize("workers,where,ran", [(1, "own", [True, False]), (2, "own", [False, True]),
                                               (3, "own", [True, True]), (3, "across", [True, True])])
def test_slice(inside, workers, where, ran):
    for _ in range(20):  # on a machine that does other things a worker may get no time in one
        inside.begin(workers, 20, where)
        answer = scaling.json.loads(inside.process.stdout.readline())
        counted = [one["packets"] > 0 and one["cycles"] > 0 for one in answer["workers"]]
        assert not any(one and not may for one, may in zip(counted, ran))
        if counted == ran:
            return
    raise AssertionError("no slice in which %s ran" % ran)


def test_summary():
    """Ratios are taken within a pair: the machine's speed is not that of the next."""
    found = [{kind: [rate * times, 100] for kind, times in zip(scaling.KINDS, (1, 1.9, 1.5, 2.0))} for rate in (5, 20, 10)]
    summary = scaling.scaling_summary(found)
    assert [round(one["ratio"], 3) for one in summary.values()] == [1, 1.9, 1.5, 2.0]
    assert summary["two workers"]["mpps"] == 19 and summary["two workers"]["pairs"] == 3
    assert "| two workers | 100 | 19.0 | 1.90 (1.90-1.90) | 3 |" in scaling.scaling_table(summary)
