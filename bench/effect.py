# SPDX-License-Identifier: BSD-3-Clause
"""How long from a guest's store of a command until the first packet that obeys, while four VMs' regions are polled and
a peer offers all that the switch's one worker takes. Two cores are enough: the worker has one, the peer and the control
lcore share the other, as they do on a busy host."""

import json
import os
import subprocess

from contestants import BUILD, Switch

MAC = "52:54:00:00:00:%02x"
GOAL_US = 1000  # at p99


def effect(samples):
    """{"drop_us": {"p50": ...}, "pass_us": ...}"""
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
        switch.stop()
    return result


def met(result):
    return all(result[command + "_us"]["p99"] < GOAL_US for command in ("drop", "pass"))
