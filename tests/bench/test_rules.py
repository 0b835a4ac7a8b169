# SPDX-License-Identifier: BSD-3-Clause
"""Rules and traffic from a rule set."""

import collections
import ipaddress
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
    assert [(str(rule.source), str(rule.destination), rule.sports, rule.dports, rule.proto) for rule in found.rules] == [
        ("10.1.0.0/24", "10.2.0.9/32", (0, 65535), (80, 80), 6), ("10.3.0.1/32", "10.4.0.0/16", (7000, 7001), (0, 65535), 17),
        ("0.0.0.0/0", "10.5.0.1/32", (0, 65535), (0, 65535), None)]
    assert all(matching(found.rules, hit) for hit in found.hits)
    spread = collections.Counter(matching(found.rules, hit)[0] for hit in found.hits)
    assert spread == {rule: 100 for rule in found.rules}
    assert {hit[2] for hit in found.hits if hit[1] == "10.3.0.1"} == {7000, 7001}
    assert len(found.misses) == 300 and not any(matching(found.rules, miss) for miss in found.misses)


def matching(some, header):
    """The rules that a packet matches, one after the other."""
    proto, source, sport, destination, dport = header
    return [rule for rule in some if ipaddress.ip_address(source) in rule.source
            and ipaddress.ip_address(destination) in rule.destination and rule.proto in (None, proto)
            and rule.sports[0] <= sport <= rule.sports[1] and rule.dports[0] <= dport <= rule.dports[1]]


@pytest.mark.parametrize("first,last", [(0, 65535), (0, 1023), (1024, 65535), (80, 80), (1, 65534), (7000, 7001)])
def test_ranges_of_openflow(first, last):
    found = [tuple(int(word, 16) for word in text.split("/")) for text in rules.masks(first, last)]
    for port in {0, 1, 79, 80, 81, 1023, 1024, 6999, 7000, 7001, 7002, 65534, 65535, first, last}:
        assert sum(port & mask == value for value, mask in found) == (first <= port <= last)


def test_always_the_same(path):
    assert vars(rules.RuleSet(path)) == vars(rules.RuleSet(path))


def test_packed_and_wrong_files(tmp_path, path):
    with lzma.open(tmp_path / "rules.xz", "wt") as stream:
        stream.write(TEXT)
    assert rules.RuleSet(str(tmp_path / "rules.xz")).rules == rules.RuleSet(path).rules
    (tmp_path / "wrong").write_text(TEXT + "10.0.0.1 10.0.0.2\n")
    with pytest.raises(ValueError, match="wrong:4 is no rule"):
        rules.RuleSet(str(tmp_path / "wrong"))
