# SPDX-License-Identifier: BSD-3-Clause
"""Filters and traffic from a rule set."""

import collections
import lzma
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import rules  # noqa: E402

TEXT = """\
@10.1.0.0/24	10.2.0.9/32	0 : 65535	80 : 80	0x06/0xFF	0x1000/0x1000
@10.3.0.1/32	10.4.0.0/16	7000 : 7001	0 : 65535	0x11/0xFF	0x0000/0x0000
@0.0.0.0/0	10.5.0.1/32	0 : 65535	0 : 65535	0x00/0x00
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "rules").write_text(TEXT)
    return str(tmp_path / "rules")


def test_drawn_from_the_rules(path):
    found = rules.RuleSet(path, 300)
    first, second, third = found.filters
    assert first[0].startswith("10.1.0.") and first[1:] == ("10.2.0.9", 6)
    assert second[0] == "10.3.0.1" and second[1].startswith("10.4.") and second[2] == 17
    assert third[1:] == ("10.5.0.1", 17)
    spread = collections.Counter((hit[1], hit[3], hit[0]) for hit in found.hits)
    assert spread == {one: 100 for one in found.filters}
    assert {hit[4] for hit in found.hits if hit[0] == 6} == {80}
    assert {hit[2] for hit in found.hits if hit[1] == "10.3.0.1"} == {7000, 7001}
    assert len(found.misses) == 300
    assert not {(miss[1], miss[3], miss[0]) for miss in found.misses} & set(found.filters)


def test_always_the_same(path):
    assert vars(rules.RuleSet(path)) == vars(rules.RuleSet(path))


def test_packed_and_wrong_files(tmp_path, path):
    with lzma.open(tmp_path / "rules.xz", "wt") as stream:
        stream.write(TEXT)
    assert rules.RuleSet(str(tmp_path / "rules.xz")).filters == rules.RuleSet(path).filters
    (tmp_path / "wrong").write_text(TEXT + "10.0.0.1 10.0.0.2\n")
    with pytest.raises(ValueError, match="wrong:4 is no rule"):
        rules.RuleSet(str(tmp_path / "wrong"))
