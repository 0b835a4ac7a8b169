# SPDX-License-Identifier: BSD-3-Clause
"""No change costs the worker's loop more than 1 % in instructions a packet unnoticed. `./dev bench instructions` shows
the same, `--store` after it when a change is worth its cost, or has saved something."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import instructions  # noqa: E402


def test_counts_are_as_stored():
    result = instructions.measure()
    try:
        changes = instructions.compare(result)
    except instructions.NothingToCompare as why:
        pytest.skip(str(why))
    bad = instructions.verdicts(changes)
    assert not bad, "\n".join(bad + [instructions.table(result, changes)])
    assert set(changes) == set(instructions.load()[result["build"]]["workloads"]), "stored, but not replayed any more"


@pytest.fixture
def stored(monkeypatch, tmp_path):
    monkeypatch.setattr(instructions, "BASELINE", str(tmp_path / "stored.json"))
    instructions.store({"build": "gcc", "variants": {"memmove": "memmove_sse2"}, "workloads": {"a": 100.0, "b": 200.0}})


def changes(build="gcc", variant="memmove_sse2", **workloads):
    return instructions.compare({"build": build, "variants": {"memmove": variant}, "workloads": workloads})


@pytest.mark.parametrize("b,said", [(201.9, None), (198.1, None), (202.2, "b: 1.1 % more"), (197.8, "b: 1.1 % fewer")])
def test_one_percent(stored, b, said):
    found = instructions.verdicts(changes(a=100.0, b=b))
    assert [line.startswith(said or "") for line in found] == ([True] if said else [])


def test_what_is_not_stored(stored):
    assert instructions.verdicts(changes(a=100.0, c=1.0))[0].startswith("c: not stored yet")


@pytest.mark.parametrize("other,said", [({"build": "clang"}, "clang"), ({"variant": "memmove_avx"}, "memmove_avx")])
def test_another_path(stored, other, said):
    """No count of another program is compared: it would be worse by chance."""
    with pytest.raises(instructions.NothingToCompare, match=said):
        changes(a=150.0, **other)
