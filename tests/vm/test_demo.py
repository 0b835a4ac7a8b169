# SPDX-License-Identifier: BSD-3-Clause
"""`dev demo` as a user runs it."""

import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEMO = [sys.executable, ROOT + "/guest/demo/run.py"]


def test_demo(tmp_path):
    """One short round of `dev demo`: its story comes true, it says so in JSON, and leaves nothing behind."""
    run = subprocess.run([*DEMO, "--rounds", "1", "--seconds", "3", "--json",
                          str(tmp_path / "demo.json")], capture_output=True, text=True, timeout=170)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "demo.json").read_text())
    assert report["story"] and report["failures"] == []
    for part in ("firewall", "load_balancer"):
        assert report[part]["after"]["vm_packets"] * 10 < report[part]["before"]["vm_packets"]
    assert "It came true" in run.stdout


def test_demo_interrupted():
    """Ctrl-C in the middle: all is cleaned up, and the exit status is that of an interrupt."""
    run = subprocess.Popen(DEMO, stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.startswith("starting"):
            break
    time.sleep(3)
    run.send_signal(2)
    assert run.wait(30) == 130
