# SPDX-License-Identifier: BSD-3-Clause
"""Two NUMA nodes, in a guest with a CPU on each: a port is served, and its packets are kept, where its guest's memory is."""

import contextlib
import os
import re
import struct
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest  # noqa: E402
from nic import GuestSwitch, plugins  # noqa: E402
from switch import wait_for  # noqa: E402

BUILD = os.path.abspath(os.environ.get("MSH_BUILD", os.path.dirname(__file__) + "/../../build"))
DRIVERS = ("bus_vdev", "mempool_ring", "net_null", "net_pcap", "net_virtio")
FRAMES = 200


@pytest.fixture(scope="module", name="guest")
def two_nodes():
    programs = [BUILD + "/bin/mshswitch", BUILD + "/bin/mshctl"]
    with Guest("numa", mem=1024, cpus=2, nodes=2, programs=programs, plugins=plugins(DRIVERS),
               sysctls={"vm.nr_hugepages": 128}) as guest:
        guest.write("/run/frames", struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1) +
                    FRAMES * (struct.pack("<IIII", 0, 0, 60, 60) + bytes.fromhex("ffffffffffff02000000000a88b5") + bytes(46)))
        guest.check("chmod 755 / && mkdir -p /dev/hugepages && mount -t hugetlbfs huge /dev/hugepages")
        yield guest


@pytest.fixture(name="switch")
def started(guest):
    """A worker on each node; control is on node 0."""
    with GuestSwitch(guest, lcores="0@0,1@0,2@1") as switch:
        yield switch
        switch.stop()


@contextlib.contextmanager
def peer(guest, name, node):
    """Another switch, with a virtio-user device at port `name` of the first. All that it does, it does on this node's CPU,
    so that its memory is there. It sends what is in a file."""
    guest.write("/run/%s.conf" % name, "port add out dev net_virtio_user0,path=/run/%s.sock\n"
                "port add in dev net_pcap0,rx_pcap=/run/frames,tx_pcap=/dev/null\n" % name)
    job = guest.spawn("exec taskset -c %d mshswitch --lcores 0@%d,1@%d --no-huge -m 64 --no-pci --file-prefix=%s -- "
                      "--config /run/%s.conf --socket /run/%s.ctl" % (node, node, node, name, name, name))
    try:
        yield job
    finally:
        job.stop()


def where(switch, name):
    row = switch.port(name)
    return row["node"], row["workers"], row["pool"]


def wait_where(switch, **ports):
    wait_for(lambda: all(where(switch, name) == place for name, place in ports.items()), 60,
             lambda: str(switch.ctl("port show")), 0.2)


def on_nodes(guest):
    """Hugepages of the switch on each node."""
    maps = guest.check("cat /proc/$(pidof mshswitch)/numa_maps")
    return [sum(int(count) for line in maps.splitlines() if "huge" in line for count in re.findall(r"N%d=(\d+)" % node, line))
            for node in (0, 1)]


@pytest.mark.parametrize("rings", ["own", "librte"])
def test_served_where_the_guest_is(guest, switch, rings):
    assert [row["node"] for row in switch.ctl("worker show")] == [0, 1]
    assert min(on_nodes(guest)) > 20, on_nodes(guest)
    for name in "ab":
        switch.ctl("port add %s vhost /run/%s.sock rings %s" % (name, name, rings))
    assert [where(switch, name) for name in "ab"] == [("-", "0", "mbufs0"), ("-", "1", "mbufs0")]
    with peer(guest, "a", 1), peer(guest, "b", 0):
        wait_where(switch, a=(1, "1", "mbufs1"), b=(0, "0", "mbufs0"))
        wait_for(lambda: all(switch.port(name)["rx_packets"] == FRAMES for name in "ab"), 60,
                 lambda: str(switch.ctl("port show")), 0.2)
        switch.ctl("port move b 1")
        assert where(switch, "b") == (0, "1", "mbufs0")
        switch.ctl("port move b auto")
        wait_where(switch, b=(0, "0", "mbufs0"))
    with peer(guest, "a", 0):  # the next guest is elsewhere
        wait_where(switch, a=(0, "0", "mbufs0"))


def test_devices(switch):
    for name in "ab":
        switch.ctl("port add %s dev net_null_%s,no-rx=1" % (name, name))
    assert [where(switch, name) for name in "ab"] == 2 * [(0, "0", "mbufs0")]


def test_without_hugepages(guest):
    """Memory lies anywhere: one pool for all."""
    said = []
    for lcores in ("0@0,1@0", "0@0,1@0,2@1"):
        with GuestSwitch(guest, ["--no-huge", "-m 64"], lcores) as switch:
            assert [row["node"] for row in switch.ctl("worker show")] == [0, 1][:lcores.count(",")]
            said += re.findall(r"(\d+) packet buffers", switch.log())
            switch.stop()
    assert said[0] == said[1]
