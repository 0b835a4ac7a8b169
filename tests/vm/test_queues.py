# SPDX-License-Identifier: BSD-3-Clause
"""A guest with two queues changes how many it uses, under traffic, and others do not notice."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest  # noqa: E402
from lbnet import Host, two_workers  # noqa: E402
from switch import Switch  # noqa: E402

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


def test_guest_changes_its_queues():
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(Switch(name="queues"))
        two_workers(switch)
        for name, mac in (("multi", MAC), ("other", OTHER)):
            switch.ctl("port add %s vhost %s/%s.sock" % (name, switch.dir, name))
            switch.ctl("vm add %s port %s mac %s" % (name, name, mac))
        host = Host(switch, "host", 21, ["10.0.0.21/24"])
        stack.callback(host.close)
        host.serve()
        guest = Guest("multi", [(switch.dir + "/multi.sock", MAC)], ip="10.0.0.1/24", queues=2, cpus=2)
        other = Guest("other", [(switch.dir + "/other.sock", OTHER)], ip="10.0.0.2/24")
        for one in (guest, other):
            stack.callback(one.close)
            one.start()
        for one in (guest, other):
            one.wait_ready(120)
        undisturbed = other.spawn("ping -i 0.02 -c 500 10.0.0.21", 60)
        busy = guest.spawn("for i in $(seq 60); do (echo 200000 200000; head -c 200000 /dev/zero; sleep 0.05) | "
                           "nc 10.0.0.21 80 | wc -c; done", 120)
        for queues in (2, 1, 2, 1, 1, 2):
            guest.check("ethtool -L eth0 combined %d || [ $? = 80 ]" % queues)
            switch.wait_for(lambda: len(switch.port("multi")["workers"].split(",")) == queues, 5,
                            lambda: switch.port("multi"))
            guest.check("ping -c 2 -i 0.2 10.0.0.21")
        status, output = busy.wait(120)
        assert status == 0 and {int(line) for line in output.split()} == {200000 + 65 + len("host 10.0.0.1\n")}, output
        status, output = undisturbed.wait(60)
        assert " 500 packets received" in output, "%s %s" % (output[-300:], switch.drops())
        port = switch.port("multi")
        assert port["rx_packets"] + port["copies"] == port["forwarded"] + port["dropped"]
        assert "broken" not in port["rings"]
