# SPDX-License-Identifier: BSD-3-Clause
"""What interruptions of the machine cost a packet."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import gaps  # noqa: E402


@pytest.mark.parametrize("found,p99,p999", [
    ([], 0, 0),
    ([500], 0, 0),               # half a per mille of all moments wait at all
    ([1000] * 9, 0, 889),        # 9 per mille; the last 111 of each gap are one per mille
    ([20000], 10000, 19000),     # it takes 2 % of the time
])
def test_wait(found, p99, p999):
    """Of a million moments."""
    assert gaps.wait(found, 1000000, 0.99) == pytest.approx(p99, abs=2)
    assert gaps.wait(found, 1000000, 0.999) == pytest.approx(p999, abs=2)


def test_each_core():
    found = gaps.interruptions((0, 1), 50)
    assert [one["core"] for one in found] == [0, 1]
    for one in found:
        assert 0 <= one["p99"] <= one["p99.9"] <= one["longest"] and one["part"] <= 1


def test_summary():
    times = [[{"core": 1, "longest": longest, "p99": p99}] for longest, p99 in ((5, 1), (900, 2), (7, 30))]
    assert gaps.gaps_summary(times) == [{"core": 1, "longest": 900, "p99": 2}]
