# SPDX-License-Identifier: BSD-3-Clause
"""The whole path: a middlebox in a QEMU guest hands its decisions to the switch, by ring and by text slot, and another
guest's packets obey. What the guests' own kernels count tells whether packets reached them."""

import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, GuestError  # noqa: E402
from lbnet import Host  # noqa: E402
from switch import Switch, wait_for  # noqa: E402

BOX, CLIENT, SERVER = "52:54:00:00:00:01", "52:54:00:00:00:02", "10.0.0.21"
BOX_IP, CLIENT_IP = "10.0.0.1", "10.0.0.2"


class Lab:
    """Guests box (a middlebox with a region) and client, and a host of a namespace, one switch."""

    def __init__(self, stack):
        self.stack = stack
        self.switch = stack.enter_context(Switch(name="vm"))
        for name, mac in (("box", BOX), ("client", CLIENT)):
            self.switch.ctl("port add %s vhost %s" % (name, self.path(name)))
            region = " region " + self.path("region") if name == "box" else ""
            self.switch.ctl("vm add %s port %s mac %s%s" % (name, name, mac, region))
        self.server = Host(self.switch, "server", 21, [SERVER + "/24"])
        stack.callback(self.server.close)
        self.server.serve()
        self.client = self.guest("client", CLIENT, CLIENT_IP)
        self.boot_box()
        self.client.wait_ready(120)

    def guest(self, name, mac, ip, region=None):
        """Booting, and closed in the end."""
        guest = Guest("vm-" + name, [(self.path(name), mac)], ip=ip + "/24", region=region)
        self.stack.callback(guest.close)
        guest.start()
        return guest

    def boot_box(self):
        self.box = self.guest("box", BOX, BOX_IP, self.path("region"))
        self.box.wait_ready(120)
        self.box.check("mkdir -p /www && echo box > /www/who && httpd -p 80 -h /www")

    def path(self, name):
        return "%s/%s.sock" % (self.switch.dir, name)

    def ping(self, count=3):
        """How many of the client's echo requests to the box are answered."""
        _, output = self.client.run("ping -c %d -i 0.2 -W 1 %s" % (count, BOX_IP))
        return int(output.split(" packets received")[0].split()[-1])

    def echo_requests(self):
        """That have reached the box, as its kernel counts."""
        rows = [line.split() for line in self.box.check("grep ^Icmp: /proc/net/snmp").splitlines()]
        return int(rows[1][rows[0].index("InEchos")])


@pytest.fixture(scope="module")
def lab():
    with contextlib.ExitStack() as stack:
        lab = Lab(stack)
        yield lab
        for guest in (lab.client, lab.box):  # they run on when the switch goes
            assert guest.check("echo alive") == "alive\n"
        lab.switch.stop()
        assert lab.box.check("echo alive") == "alive\n"


@pytest.fixture(autouse=True)
def nothing_left(lab):
    yield
    lab.box.run("msh X " + BOX)
    assert lab.switch.ctl("stage show box") == {"firewall": [], "lb": []}


def test_firewall_by_ring(lab):
    assert lab.ping() == 3
    assert lab.box.check("msh R F %s %s" % (BOX, BOX_IP)) == "OK MAC %s with IP %s is registered for firewall\n" % (BOX, BOX_IP)
    lab.box.check("msh A %s I 4 s %s" % (BOX, CLIENT_IP))
    before = lab.echo_requests()
    assert lab.ping() == 0
    assert lab.echo_requests() == before, "the middlebox sees none of them"
    row, = lab.switch.ctl("I " + BOX)
    assert row["packets"] >= 3 and lab.switch.port("client")["drops"]["firewall"] == row["packets"]
    assert CLIENT_IP in lab.box.check("msh I " + BOX)
    lab.box.check("msh D %s I 4 s %s" % (BOX, CLIENT_IP))
    assert lab.ping() == 3 and lab.echo_requests() == before + 3


def test_firewall_by_slot(lab):
    """As the seed's helper: the text between two @, its answer in its place."""
    def slot(command):
        lab.box.check("msh -w '@%s@'" % command)
        return wait_for(lambda: next((t for t in [lab.box.check("msh -r")] if not t.startswith("@")), None), 5)
    assert slot("R F %s %s" % (BOX, BOX_IP)).startswith("OK ")
    assert slot("A %s T 1 p icmp" % BOX).startswith("OK ")
    assert lab.ping() == 0
    assert lab.client.check("wget -q -O - http://%s/who" % BOX_IP) == "box\n", "TCP is not ICMP"
    assert slot("X " + BOX).startswith("OK ")
    assert lab.ping() == 3


def test_load_balancer(lab):
    """The client's connection goes to the server, which sees the client; the middlebox sees nothing of it."""
    assert lab.client.check("wget -q -O - http://%s/who" % BOX_IP) == "box\n"
    lab.box.check("msh R L %s %s 1 %s %s" % (BOX, BOX_IP, CLIENT_IP, SERVER))
    wait_for(lambda: lab.switch.ctl("stage show box")["lb"][0]["backend_mac"] == lab.server.mac, 5)
    before = lab.box.check("cat /proc/net/snmp").splitlines()
    assert lab.client.check("echo | nc -w 5 %s 80 | head -n 1" % BOX_IP) == "server %s\n" % CLIENT_IP
    assert lab.ping() == 3, "the server answers, in the middlebox's name"
    after = lab.box.check("cat /proc/net/snmp").splitlines()
    assert [line for line in before if line.startswith("Tcp:")] == [line for line in after if line.startswith("Tcp:")]
    vm = lab.switch.ctl("vm show box")
    assert vm["redirected"] >= 8
    lab.box.check("msh X " + BOX)
    assert lab.client.check("wget -q -O - http://%s/who" % BOX_IP) == "box\n"


def test_denied(lab):
    """A guest may speak for its own MAC only."""
    for command in ("R F %s 10.0.0.2" % CLIENT, "X " + CLIENT, "A %s I 0" % CLIENT, "I " + CLIENT, "port del client"):
        rc, output = lab.box.run("msh " + command)
        assert rc == 1 and output.startswith("DENIED"), output
    with pytest.raises(GuestError):
        lab.client.check("msh version")  # it has no region


def test_interrupts_stay_away(lab):
    """What the switch drops costs the middlebox no interrupt."""
    def interrupts():
        return sum(int(word) for line in lab.box.check("grep virtio /proc/interrupts").splitlines() if "input" in line
                   for word in line.split()[1:2])
    lab.box.check("msh R F %s %s" % (BOX, BOX_IP))
    lab.box.check("msh A %s T 1 p icmp" % BOX)
    before = interrupts()
    lab.client.run("ping -c 200 -i 0.02 -W 1 " + BOX_IP, timeout=60)
    row, = lab.switch.ctl("T " + BOX)
    assert row["packets"] == 200
    assert interrupts() - before < 20  # ARP may have come


def test_reboot(lab):
    """A guest that dies and comes back finds its VM's filters in force, and its region served."""
    lab.box.check("msh R F %s %s" % (BOX, BOX_IP))
    lab.box.check("msh A %s T 1 p icmp" % BOX)
    lab.box.close()
    wait_for(lambda: lab.switch.port("box")["state"] != "up", 10)
    lab.boot_box()
    assert lab.ping() == 0
    assert "icmp" in lab.box.check("msh T " + BOX)
    lab.box.check("msh X " + BOX)
    assert lab.ping() == 3
