#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measures the switch, prints a table, and writes build/bench/effect.json. `./dev bench` calls it.

    run.py [--samples N]

effect: how long from a guest's store of a command until the first packet that obeys, while four VMs' regions are
polled and a peer offers all that the switch's one worker takes. Two cores are enough: the worker has one, the peer and
the control lcore share the other, as they do on a busy host."""

import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT + "/tests/lib")
from switch import BUILD, Switch  # noqa: E402

MAC = "52:54:00:00:00:%02x"
GOAL_US = 1000  # at p99


def busy():
    """What else runs on this machine: its load average over the last minute."""
    return os.getloadavg()[0]


def effect(samples):
    with Switch(name="bench") as switch:
        region = switch.dir + "/region"
        switch.ctl("port add generator vhost %s/generator" % switch.dir)
        for number in range(4):
            switch.ctl("port add vm%d vhost %s/vm%d" % (number, switch.dir, number))
            switch.ctl("vm add vm%d port vm%d mac %s region %s%d" % (number, number, MAC % number, region, number))
        device = "virtio_user%d,path=%s/%s,queues=1,mac=%s"
        command = [BUILD + "/bench/msh-effect", "--lcores", "0@0", "--no-huge", "-m", "128", "--no-pci",
                   "--file-prefix=" + switch.file_prefix + "-peer", "--log-level=error",
                   "--vdev", device % (0, switch.dir, "generator", MAC % 10),
                   "--vdev", device % (1, switch.dir, "vm0", MAC % 0),
                   "--", region + "0", MAC % 0, str(samples)]
        environment = dict(os.environ, RUNTIME_DIRECTORY=switch.dir)
        result = json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
        result["worker"] = switch.ctl("worker show")
        switch.stop()
    return result


def table(result):
    lines = ["| us from store to effect | p50 | p90 | p99 | max |", "|---|---|---|---|---|"]
    for command in ("drop", "pass"):
        row = result[command + "_us"]
        lines.append("| `%s` | %s |" % ("A" if command == "drop" else "D",
                                        " | ".join("%.0f" % row[name] for name in ("p50", "p90", "p99", "max"))))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="dev bench", description="Measure the switch.")
    parser.add_argument("--samples", type=int, default=500, help="commands of each kind (%(default)s)")
    arguments = parser.parse_args()
    load = busy()
    result = dict(effect(arguments.samples), load_before=load)
    os.makedirs(BUILD + "/bench", exist_ok=True)
    with open(BUILD + "/bench/effect.json", "w") as stream:
        json.dump(result, stream, indent=1)
    print(table(result))
    if load > 0.7:
        print("The machine was busy before (load %.1f): these figures are too high." % load)
    met = all(result[command + "_us"]["p99"] < GOAL_US for command in ("drop", "pass"))
    print("goal, p99 under %d us: %s" % (GOAL_US, "met" if met else "not met"))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
