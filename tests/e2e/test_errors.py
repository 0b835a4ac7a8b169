# SPDX-License-Identifier: BSD-3-Clause
"""Bad input: each has its status and a sentence that names the thing and the value, and what was in force stays."""

import os
import re
import subprocess

import pytest

from switch import BUILD, StartError, Switch

MAC, OTHER, FREE = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"


def pci_devices():
    """(address, driver or None) of this machine's."""
    root = "/sys/bus/pci/devices"
    for address in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        driver = os.path.join(root, address, "driver")
        yield address, os.path.basename(os.readlink(driver)) if os.path.islink(driver) else None


# (command, status, what the sentence must have)
COMMANDS = [
    ("frobnicate", "BAD", "frobnicate"),
    ("port frobnicate x", "BAD", "port frobnicate"),
    ("r f %s 10.0.0.1" % MAC, "BAD", "r"),
    ("A", "BAD", "A takes MAC"),
    ("R F %s" % MAC, "BAD", "R F takes MAC IP"),
    ("R F %s 10.0.0.1 more" % MAC, "BAD", "R F takes MAC IP"),
    ("X", "BAD", "X takes MAC"),
    ("port add x", "BAD", "port add"),
    ("port del", "BAD", "port del"),
    ("vm del", "BAD", "vm del"),
    ("drop show p0 p1", "BAD", "drop show"),
    ("R F 02:00:00:00:00 10.0.0.1", "BAD", "02:00:00:00:00"),
    ("R F 02:00:00:00:00:zz 10.0.0.1", "BAD", "02:00:00:00:00:zz"),
    ("R F %s 10.0.0.256" % OTHER, "BAD", "10.0.0.256"),
    ("R L %s 10.0.0.1 2 0.0.0.0 10.0.0.9" % OTHER, "BAD", "2"),
    ("R L %s 10.0.0.1 zero 0.0.0.0 10.0.0.9" % OTHER, "BAD", "zero"),
    ("R L %s 10.0.0.1 1 0.0.0.0 10.0.0.9" % OTHER, "BAD", "0.0.0.0"),
    ("R L %s 10.0.0.1 0 0.0.0.0 224.0.0.1" % OTHER, "BAD", "224.0.0.1"),
    ("R L %s 10.0.0.1 0 0.0.0.0 2001:db8::1" % OTHER, "UNSUPPORTED", "2001:db8::1"),
    ("R Q %s 10.0.0.1" % MAC, "BAD", "R Q"),
    ("A %s I 16 s 10.0.0.1" % MAC, "BAD", "16"),
    ("A %s I -1 s 10.0.0.1" % MAC, "BAD", "-1"),
    ("A %s I four s 10.0.0.1" % MAC, "BAD", "four"),
    ("A %s I 4 d 10.0.0.1" % MAC, "BAD", "value 4 names s, but the command gives d"),
    ("A %s I 6 s 10.0.0.1" % MAC, "BAD", "value 6 names s d, but the command gives s"),
    ("A %s I 0 s 10.0.0.1" % MAC, "BAD", "value 0 names no"),
    ("A %s I 4 s" % MAC, "BAD", "s"),
    ("A %s I 4 s 10.0.0.1 s 10.0.0.2" % MAC, "BAD", "s"),
    ("A %s I 4 x 10.0.0.1" % MAC, "BAD", "x"),
    ("A %s I 4 s 10.0.0" % MAC, "BAD", "10.0.0"),
    ("A %s M 4 s 10.0.0.1" % MAC, "BAD", "10.0.0.1"),
    ("A %s T 2 d 65536" % MAC, "BAD", "65536"),
    ("A %s T 1 p 256" % MAC, "BAD", "256"),
    ("A %s T 1 p quic" % MAC, "BAD", "quic"),
    ("A %s M 8 t 8" % MAC, "BAD", "8"),
    ("A %s Z 4 s 10.0.0.1" % MAC, "BAD", "Z"),
    ("A %s I 4 s 10.0.0.7" % MAC, "EXISTS", "I 4 s 10.0.0.7"),
    ("D %s I 4 s 10.0.0.8" % MAC, "NOTFOUND", "I 4 s 10.0.0.8"),
    ("A %s I 4 s 10.0.0.1" % OTHER, "NOTFOUND", OTHER),
    ("A %s I 4 s 10.0.0.1" % FREE, "NOTFOUND", FREE),
    ("I %s" % OTHER, "NOTFOUND", OTHER),
    ("X %s" % OTHER, "NOTFOUND", OTHER),
    ("R F %s 10.0.0.1" % MAC, "EXISTS", MAC),
    ("R L %s 10.0.0.5 0 0.0.0.0 10.0.0.7" % MAC, "EXISTS", "10.0.0.5"),
    ("port add p0 dev net_null_x", "EXISTS", "p0"),
    ("port add x dev net_null_p0", "EXISTS", "net_null_p0"),
    ("port add a/b dev net_null_x", "BAD", "a/b"),
    ("port add %s dev net_null_x" % ("x" * 32), "BAD", "x" * 32),
    ("port add x serial /dev/ttyS0", "BAD", "serial"),
    ("port add x dev no_such_driver0", "FAILED", "no_such_driver0"),
    ("port add x dev net_af_packet_x,iface=nothere", "FAILED", "nothere"),
    ("port add x dev net_pcap_x,rx_pcap=/nothere.pcap", "FAILED", "/nothere.pcap"),
    ("port add x dev 0000:ff:1f.7", "NOTFOUND", "0000:ff:1f.7"),
    ("port add x dev net_null_x queues 0", "BAD", "'0'"),
    ("port add x dev net_null_x queues many", "BAD", "many"),
    ("port add x dev net_null_x queues 2000", "BAD", "16 queues, not 2000"),
    ("port add x dev net_null_x mtu 67", "BAD", "67"),
    ("port add x dev net_null_x mtu 65536", "BAD", "65536"),
    ("port add x dev net_null_x promiscuous maybe", "BAD", "maybe"),
    ("port add x dev net_null_x promiscuous off", "UNSUPPORTED", "net_null_x"),
    ("port add x dev net_null_x promiscuous off mac 01:00:5e:00:00:01", "BAD", "01:00:5e:00:00:01"),
    ("port add x dev net_null_x mac 02:00:00:00:00:99", "BAD", "promiscuous"),
    ("port add x dev net_null_x offloads maybe", "BAD", "maybe"),
    ("port add x dev net_null_x speed 10", "BAD", "speed"),
    ("port add x dev net_null_x mtu", "BAD", "mtu"),
    ("port add x vhost relative.sock", "BAD", "relative.sock"),
    ("port add x vhost /nothere/x.sock", "FAILED", "/nothere/x.sock"),
    ("port add x vhost /tmp/%s" % ("x" * 120), "BAD", "x" * 120),
    ("port add x vhost /etc/passwd", "FAILED", "/etc/passwd"),
    ("port add x vhost /tmp/x.sock sideways", "BAD", "sideways"),
    ("port add x vhost /tmp/x.sock learn maybe", "BAD", "maybe"),
    ("port add x vhost /tmp/x.sock rings some", "BAD", "some"),
    ("port add x vhost /tmp/x.sock offloads maybe", "BAD", "maybe"),
    ("port add x vhost /tmp/x.sock offloads", "BAD", "offloads"),
    ("port add x vhost /tmp/x.sock features 12", "BAD", "12"),
    ("port add x vhost /tmp/x.sock features 0xf000000000000000", "UNSUPPORTED", "0xf000000000000000"),
    ("port del nobody", "NOTFOUND", "nobody"),
    ("port show nobody", "NOTFOUND", "nobody"),
    ("port del p0", "DENIED", "one"),
    ("vm add one port p1 mac %s" % FREE, "EXISTS", "one"),
    ("vm add x port p0 mac %s" % FREE, "EXISTS", "p0"),
    ("vm add x port p1 mac %s" % MAC, "EXISTS", MAC),
    ("vm add x port nobody mac %s" % FREE, "NOTFOUND", "nobody"),
    ("vm add x port p1", "BAD", "vm add takes NAME"),
    ("vm add x mac %s port p1" % FREE, "BAD", FREE),
    ("vm add x port p1 mac ff:ff:ff:ff:ff:ff", "BAD", "ff:ff:ff:ff:ff:ff"),
    ("vm add x port p1 mac 01:00:5e:00:00:01", "BAD", "01:00:5e:00:00:01"),
    ("vm add x port p1 mac %s mac %s" % (FREE, FREE), "EXISTS", FREE),
    ("vm add x port p1 mac %s region relative" % FREE, "BAD", "relative"),
    ("vm add x port p1 mac %s region /nothere/r" % FREE, "FAILED|NOTFOUND", "/nothere/r"),
    ("vm add x port p1 mac %s region /tmp/r size 100000" % FREE, "BAD", "100000"),
    ("vm add x port p1 mac %s region /tmp/r size 0" % FREE, "BAD", "0"),
    ("vm add x port p1 mac %s region /tmp/r mode 999" % FREE, "BAD", "999"),
    ("vm add x port p1 mac %s region /tmp/r owner nosuchuser" % FREE, "BAD", "nosuchuser"),
    ("vm add x port p1 mac %s size 65536" % FREE, "BAD", "size"),
    ("vm add x port p1 mac %s colour blue" % FREE, "BAD", "colour"),
    ("vm del nobody", "NOTFOUND", "nobody"),
    ("vm show nobody", "NOTFOUND", "nobody"),
    ("stage show nobody", "NOTFOUND", "nobody"),
    ("worker idle slowly", "BAD", "slowly"),
    ("worker balance maybe", "BAD", "maybe"),
    ("port set nobody access 1", "NOTFOUND", "nobody"),
    ("port set p0 access 4095", "BAD", "4095"),
    ("port set p0 access 0", "BAD", "0"),
    ("port set p0 trunk 1-9,30-20", "BAD", "30-20"),
    ("port set p0 trunk 1,x", "BAD", "x"),
    ("port set p0 native 5", "BAD", "5"),
    ("port set p0 isolated maybe", "BAD", "maybe"),
    ("port set p0 storm many", "BAD", "many"),
    ("port set p0 macs -1", "BAD", "-1"),
    ("port set p0 colour blue", "BAD", "colour"),
    ("port set p0 access", "BAD", "access"),
    ("fdb add %s nobody" % FREE, "NOTFOUND", "nobody"),
    ("fdb add %s p0" % MAC, "EXISTS", MAC),
    ("fdb add %s p0" % FREE, "DENIED", "p0"),
    ("fdb add ff:ff:ff:ff:ff:ff p1", "BAD", "ff:ff:ff:ff:ff:ff"),
    ("fdb add %s p1 vlan 4095" % FREE, "BAD", "4095"),
    ("fdb add %s p1 lane 5" % FREE, "BAD", "lane"),
    ("fdb del %s" % FREE, "NOTFOUND", FREE),
    ("suppress maybe", "BAD", "maybe"),
    ("vm add x port p1 mac %s ip 10.0.0" % FREE, "BAD", "10.0.0"),
    ("vm add x port p1 mac %s ip 224.0.0.1" % FREE, "BAD", "224.0.0.1"),
    ("vm add x port p1 mac %s ip ::" % FREE, "BAD", "::"),
    ("vm add x port p1 ip 10.0.0.1 mac %s" % FREE, "BAD", "10.0.0.1"),
    ("vm add x port p1 mac %s ip 10.0.0.1 ip 10.0.0.1" % FREE, "EXISTS", "10.0.0.1"),
    ("port move nobody 0", "NOTFOUND", "nobody"),
    ("port move p0 7", "BAD", "7"),
    ("port move p0 0 queue 9", "BAD", "9"),
    ("port move p0 0 line 0", "BAD", "line"),
    ("help nobody", "NOTFOUND|BAD", "nobody"),
]


@pytest.fixture(scope="module")
def busy():
    """A switch with something of each kind in force."""
    with Switch(config=[
            "port add p0 dev net_null_p0,no-rx=1", "port add p1 dev net_null_p1,no-rx=1", "port add p2 dev net_null_p2,no-rx=1",
            "vm add one port p0 mac " + MAC, "vm add two port p2 mac %s mac 02:00:00:00:00:04" % OTHER, "R F %s 10.0.0.5" % MAC,
            "A %s I 4 s 10.0.0.7" % MAC, "R L %s 10.0.0.5 0 0.0.0.0 10.0.0.6" % MAC]) as switch:
        yield switch
        switch.stop()


@pytest.mark.asan
@pytest.mark.parametrize("command,status,has", COMMANDS, ids=[command[:40] for command, _, _ in COMMANDS])
def test_command(busy, command, status, has):
    before = busy.ctl("save")
    answer = busy.ctl_raw(command)
    assert re.fullmatch(status, answer["status"]), answer
    assert has in answer["text"] and len(answer["text"]) > 10 and "\n" not in answer["text"], answer
    assert busy.ctl("save") == before
    mshctl = subprocess.run([BUILD + "/bin/mshctl", "-s", busy.socket, command], capture_output=True, text=True)
    assert (mshctl.returncode, mshctl.stdout) == (1, "") and answer["text"] in mshctl.stderr


def test_pci_device_not_bound(busy):
    for address, driver in pci_devices():
        if driver == "vfio-pci":
            continue
        answer = busy.ctl_raw("port add x dev " + address)
        assert answer["status"] == "FAILED"
        assert answer["text"] == "PCI device %s is bound to %s: bind it to vfio-pci first" % (address, driver or "no driver")


def test_region_without_room(busy, tmp_path):
    """A full file system is an error now, not a crash at the guest's first store."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", tmp_path], check=True)
    try:
        answer = busy.ctl_raw("vm add x port p1 mac %s region %s/r" % (FREE, tmp_path))
        assert answer["status"] == "FAILED" and "%s/r" % tmp_path in answer["text"] and "space" in answer["text"]
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("arguments,has", [
    ({"memory": 8}, "memory"), ({"lcores": "0"}, "lcore"), ({"config": "/nothere"}, "/nothere: No such file"),
    ({"socket": "/nothere/s"}, "/nothere/s"), ({"socket": "/tmp/" + "x" * 120}, "x" * 120), ({"eal": ["--nonsense"]}, "DPDK"),
    ({"eal": ["--vdev", "no_such_driver0"]}, "DPDK")])
def test_start(switch_factory, arguments, has):
    with pytest.raises(StartError) as error:
        switch_factory(**arguments)
    assert error.value.status == 1
    sentences = [line for line in error.value.log.splitlines() if line.startswith("mshswitch: ")]
    assert len(sentences) == 1 and has in sentences[0], error.value.log


@pytest.mark.parametrize("line,has", [
    ("A %s I 16" % MAC, "16"), ("port ad p9 dev net_null9", "port ad"), ("vm add two port p0 mac %s" % FREE, "p0"),
    ("R F 02:00:00:00:00:99 10.0.0.1", "02:00:00:00:00:99"), ("x" * 2000, "1024"), ("port add \xff", "")])
def test_config(switch_factory, tmp_path, line, has):
    """The line is named, and nothing of the file comes into force."""
    vhost, region = "%s/p1.sock" % tmp_path, "%s/region" % tmp_path
    with pytest.raises(StartError) as error:
        switch_factory(config=[
            "# one port, one VM", "port add p0 dev net_null_p0", "port add p1 vhost " + vhost,
            "vm add one port p0 mac %s region %s" % (MAC, region), "R F %s 10.0.0.1" % MAC, "", line, "version"])
    assert error.value.status == 1
    last = error.value.log.splitlines()[-1]
    assert re.match(r"mshswitch: /tmp/msh-\w+/boot.conf:7: ", last) and has in last, last
    assert not os.path.exists(vhost)
