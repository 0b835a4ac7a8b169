# SPDX-License-Identifier: BSD-3-Clause
"""The classifier finds in rule sets what a linear scan does, and rte_acl."""

import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import classify  # noqa: E402

TEXT = """\
@10.1.0.0/24	10.2.0.9/32	0 : 65535	80 : 80	0x06/0xFF	0x1000/0x1000
@10.1.0.0/16	10.2.0.0/16	0 : 65535	79 : 90	0x06/0xFF	0x0000/0x0200
@10.3.0.1/32	10.4.0.0/16	7000 : 7001	0 : 65535	0x11/0xFF	0x0000/0x0000
@0.0.0.0/0	10.5.0.1/32	0 : 65535	0 : 65535	0x00/0x00	0x0000/0x0000
"""


def test_beside_rte_acl(tmp_path):
    (tmp_path / "rules").write_text(TEXT)
    found = classify.classify(str(tmp_path / "rules"))
    assert found["rules"] == 4 and found["hits"]["rte_acl"] > 0
    assert "| rules | 4 |" in classify.classify_table({"rules": found})


def test_wrong_file(tmp_path):
    (tmp_path / "rules").write_text(TEXT + "10.0.0.1 10.0.0.2\n")
    with pytest.raises(subprocess.CalledProcessError):
        classify.classify(str(tmp_path / "rules"))


SHARED = classify.rule_files()


@pytest.mark.parametrize("path", SHARED, ids=[os.path.basename(path) for path in SHARED])
def test_shared_rules(path):
    found = classify.classify(path, peer=False)
    assert found["bytes"] <= 256
    assert found["cost"] <= 1000
