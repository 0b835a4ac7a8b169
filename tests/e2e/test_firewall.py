# SPDX-License-Identifier: BSD-3-Clause
"""The firewall stage: what becomes of frames made with scapy, compared with the naive model of filters.py."""

import json
import random
import re
import subprocess

import pytest

from filters import Filter, Firewall, letters, random_filter, random_frames, read_pcap, write_pcap
from lbnet import two_workers
from switch import BUILD, wait_for

MACS = ["52:54:00:00:00:%02x" % i for i in range(1, 17)]
IP = "10.129.26.115"


class Bed:
    """A VM `fw` whose port writes what it gets to a file, a port `aside` that is no VM's and does as well, and what
    the VM should have got."""

    def __init__(self, switch, macs=MACS[:1], aside=True):
        self.switch, self.macs, self.model = switch, list(macs), Firewall()
        self.region = switch.dir + "/region"
        self.feeds = 0
        for name in ["fw"] + ["aside"] * aside:
            switch.ctl("port add %s dev net_pcap_%s,tx_pcap=%s" % (name, name, self.file(name)))
        switch.ctl("vm add fw port fw %s region %s" % (" ".join("mac " + mac for mac in macs), self.region))

    def file(self, name):
        return "%s/%s.pcap" % (self.switch.dir, name)

    def register(self, mac):
        self.switch.ctl("R F %s %s" % (mac, IP))
        self.model.register(mac, IP)

    def add(self, mac, new, rng=random.Random(1)):
        """Both to switch and model."""
        status = self.switch.ctl_raw("A %s %s" % (mac, new.any_line(rng)))["status"]
        assert status == ("OK" if self.model.add(mac, new) else "EXISTS"), new

    def feed(self, frames):
        """Let these come in by a port of their own and wait until each has been dealt with."""
        self.feeds += 1
        name = "feed%d" % self.feeds
        path = write_pcap(self.file(name), [frame.data for frame in frames])
        self.switch.ctl("port add %s dev net_pcap_%s,rx_pcap=%s" % (name, name, path))

        def done():
            port = self.switch.port(name)
            return port["rx_packets"] == len(frames) and port["rx_packets"] + port["copies"] == sum(
                port[what] for what in ("forwarded", "dropped"))
        self.switch.wait_for(done, 30, lambda: "not all frames were dealt with: %s" % self.switch.port(name))
        port = self.switch.port(name)
        self.switch.ctl("port del " + name)
        return port

    def check_counters(self, expected_drops, ports):
        """Of filters, middleboxes, VM and the ports that the frames came from."""
        for mac in self.model.boxes:
            for layer in "IMT":
                assert self.switch.ctl("%s %s" % (layer, mac)) == self.model.table(mac, layer)
        assert self.switch.ctl("stage show fw")["firewall"] == self.model.rows()
        for reason in ports[0]["drops"]:
            assert sum(port["drops"][reason] for port in ports) == (expected_drops if reason == "firewall" else 0), reason
        assert self.switch.ctl("vm show fw")["dropped"] == expected_drops

    def output(self):
        """What the VM got, once its port is gone and the file complete; what the port aside got."""
        self.switch.ctl("vm del fw")
        self.switch.ctl("port del fw")
        self.switch.ctl("port del aside")
        return read_pcap(self.file("fw")), read_pcap(self.file("aside"))


def counted(model, frame):
    """Whether it is dropped: what is for the VM or a group meets the filters, what is for a stranger is flooded."""
    return (frame.target in MACS or frame.to_group()) and model.drops(frame)


def expected(model, frames):
    """(frames for the VM, drops)"""
    passed = [f for f in frames if not counted(model, f)]
    return passed, len(frames) - len(passed)


def run(bed, frames):
    """Feed them and compare everything."""
    passed, drops = expected(bed.model, frames)
    # In parts that fit into the ring between two workers.
    ports = [bed.feed(frames[i:i + 1000]) for i in range(0, len(frames), 1000)]
    bed.check_counters(drops, ports)
    mine, aside = bed.output()
    assert sorted(mine) == sorted(f.data for f in passed)
    # Those that were not flooded stay in order.
    to_macs = {bytes.fromhex(mac.replace(":", "")) for mac in MACS}
    assert [x for x in mine if x[:6] in to_macs] == [f.data for f in passed if f.target in MACS]
    assert aside == [f.data for f in frames if f.target not in MACS], "filters touched what is not the VM's"
    return passed


@pytest.mark.parametrize("layer", "IMT")
def test_every_value(switch, layer):
    """16 middleboxes of one VM, one for each value: the same frames for each, and each filter takes what it names."""
    rng = random.Random("values " + layer)
    bed = Bed(switch, MACS)
    some = [f for f in random_frames(rng, MACS[:1], 400) if f.target in MACS]
    for value, mac in enumerate(MACS):
        bed.register(mac)
        # From frames themselves, so that each filter has something to match.
        for _ in range(3):
            bed.add(mac, matching(rng, rng.choice(some).to(mac), layer, value))
    frames = [f.to(mac) for f in some for mac in MACS]
    passed = run(bed, frames)
    for mac in MACS:
        assert any(f.packets for f in bed.model.filters(mac)), "no frame met the filter of " + mac
        # At M, value 0 takes everything and so does 2, the frame's own destination.
        assert (layer == "M" and mac in (MACS[0], MACS[2])) != any(f.target == mac for f in passed)


def matching(rng, frame, layer, value):
    """A filter that matches the frame where it can."""
    new = random_filter(rng, [frame.target], layer, value)
    s, d = (frame.s, frame.d) if layer == "I" else frame.ports or (None, None)
    facts = {"s": s, "d": d, "t": frame.tos, "p": frame.proto}
    if layer == "M":
        facts = {"s": frame.source, "d": frame.target, "t": frame.priority, "p": frame.ether_type}
    if None not in [facts[letter] for letter in letters(value)]:
        new.fields = {letter: facts[letter] for letter in letters(value)}
    return new


@pytest.mark.asan
@pytest.mark.parametrize("seed,workers", [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_random_filters(switch, seed, workers):
    """Two middleboxes of a VM, filters of all layers and values together, frames for hosts, groups and strangers; by
    one worker, and by two."""
    rng = random.Random(seed)
    if workers == 2:
        two_workers(switch)
    bed = Bed(switch, MACS[:3])
    for mac in rng.sample(MACS[:2], 2):  # the third has registered nothing
        bed.register(mac)
        for _ in range(40):
            # Of few fields: many match.
            bed.add(mac, random_filter(rng, MACS[:3], value=rng.choice([3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15])), rng)
    frames = random_frames(rng, MACS[:3], 2000)
    passed = run(bed, frames)
    assert len(frames) / 20 < len(frames) - len(passed) < len(frames) * 0.8, "the test tests little"


def msh(bed, *words, check=True):
    """The guest's tool on the region's file; what it prints."""
    run = subprocess.run([BUILD + "/bin/msh", "--region", bed.region, *words], capture_output=True, text=True, timeout=20)
    assert not check or run.returncode == 0, run
    return run.stdout or run.stderr


def by_ring(bed, line):
    return msh(bed, *line.split(), check=False)


def by_slot(bed, line):
    """As the seed's helper: write, read until something else is there."""
    msh(bed, "-w", "@%s@" % line)
    return wait_for(lambda: next((t for t in [msh(bed, "-r")] if not t.startswith("@")), None), 5, "no answer to " + line)


def by_mshctl(bed, line):
    run = subprocess.run([BUILD + "/bin/mshctl", "-s", bed.switch.socket, "-j", *line.split()], capture_output=True,
                         text=True, timeout=20)
    answer = json.loads(run.stdout)
    assert (run.returncode == 0) == (answer["status"] == "OK")
    return "%s %s" % (answer["status"], answer.get("text", ""))


# Each with the answer that every way must give.
SCRIPT = [
    ("R F {mac} 10.129.26.115", "OK MAC {mac} with IP 10.129.26.115 is registered for firewall"),
    ("A {mac} I 4 s 10.0.0.1", "OK filter I 4 s 10.0.0.1 added for {mac}"),
    ("A {mac} T 3 p tcp d 22", "OK filter T 3 d 22 p tcp added for {mac}"),
    ("A {mac} T 3 d 22 p 6", "EXISTS filter T 3 d 22 p tcp is there already for {mac}"),
    ("A {mac} I 6 s 10.0.0.1", "BAD value 6 names s d, but the command gives s"),
    ("A {mac} I 16 s 10.0.0.1", "BAD"),
    ("A {mac} M 9 p arp t 7", "OK filter M 9 t 7 p arp added for {mac}"),
    ("A {mac} T 8 t 256", "BAD"),
    ("A {mac} I 6 d ::1 s 10.0.0.1", "BAD"),
    ("A {mac} M 4 s {source}", "OK filter M 4 s {source} added for {mac}"),
    ("A {mac} M 1 p arp", "OK filter M 1 p arp added for {mac}"),
    ("D {mac} M 1 p", "OK 1 filter removed for {mac}: of value 1 at M"),
    ("D {mac} T 3 d 23 p tcp", "NOTFOUND {mac} has no filter T 3 d 23 p tcp"),
    ("D {mac} T 3 d 22 p", "BAD no value given for p: give a value for each field, or for none"),
    ("A {mac} Q 0", "BAD"),
    ("R F {mac} 10.129.26.115", "EXISTS"),
    ("Y {mac}", "BAD"),
]
FORMS = {"mac": MACS[0], "source": "02:00:00:00:0a:03"}
FILTERS = [Filter("I", 4, {"s": "10.0.0.1"}), Filter("T", 3, {"d": 22, "p": 6}), Filter("M", 9, {"t": 7, "p": 0x0806}),
           Filter("M", 4, {"s": FORMS["source"]})]


@pytest.mark.parametrize("way", [by_ring, by_slot, by_mshctl], ids=lambda way: way.__name__)
def test_same_by_every_way(switch, way):
    bed = Bed(switch)
    for line, answer in SCRIPT:
        got = way(bed, line.format(**FORMS)).splitlines()[0]
        answer = answer.format(**FORMS)
        assert got.strip() == answer or (" " not in answer and got.split()[0] == answer), line
    check_script(bed)


@pytest.mark.asan
def test_same_by_boot_file(switch_factory, tmp_path):
    """And the state that the switch saves makes the same again."""
    lines = ["port add %s dev net_pcap_%s,tx_pcap=%s/%s.pcap" % (name, name, tmp_path, name) for name in ("fw", "aside")]
    lines += ["vm add fw port fw mac %s region %s/region" % (MACS[0], tmp_path)]
    lines += [line.format(**FORMS) for line, answer in SCRIPT if answer.startswith("OK")]
    first = switch_factory(config=lines)
    saved = first.ctl("save")
    first.stop()
    second = switch_factory(config=saved.splitlines())
    assert second.ctl("save") == saved
    bed = Bed.__new__(Bed)
    bed.__dict__.update(switch=second, macs=MACS[:1], model=Firewall(), region=tmp_path / "region", feeds=0)
    bed.file = lambda name: "%s/%s.pcap" % (tmp_path, name)
    check_script(bed)


def check_script(bed):
    """SCRIPT has left what FILTERS says, and packets meet that."""
    bed.model.register(MACS[0], IP)
    for new in FILTERS:
        bed.model.add(MACS[0], Filter(new.layer, new.value, new.fields))
    assert [line for line in bed.switch.ctl("save").splitlines() if line[:2] in ("R ", "A ")] == [
        "R F %s %s" % (MACS[0], IP)] + ["A %s %s" % (MACS[0], new.line()) for new in FILTERS]
    run(bed, random_frames(random.Random("script"), MACS[:1], 400))
    assert all(f.packets for f in bed.model.filters(MACS[0]) if f.value != 9)


@pytest.mark.asan
def test_flows_are_remembered_until_a_command(switch):
    """The second time all are known to the flow table, and fare and count the same; a command makes all unknown."""
    rng = random.Random("flows")
    bed = Bed(switch)
    frames = [f for f in random_frames(rng, MACS[:1], 600) if f.target in MACS]
    bed.register(MACS[0])
    passed, drops, ports = [], 0, []
    for turn in range(4):
        for layer in "IMT":
            bed.add(MACS[0], matching(rng, rng.choice(frames), layer, rng.randrange(3, 16)))
        for known in (False, True):
            before = switch.ctl("worker show")[0]
            some, dropped = expected(bed.model, frames)
            passed, drops = passed + some, drops + dropped
            ports.append(bed.feed(frames))
            after = switch.ctl("worker show")[0]
            hits, misses = (after[name] - before[name] for name in ("flow_hits", "flow_misses"))
            assert hits + misses == len(frames)
            assert misses == 0 if known else misses > len(frames) // 2
    bed.check_counters(drops, ports)
    assert bed.output()[0] == [f.data for f in passed]


@pytest.mark.asan
def test_d_removes_what_it_names(switch):
    """Packets and lists after each D; the counters of what stays are kept. Then X: nothing remains."""
    rng = random.Random("delete")
    bed = Bed(switch, MACS[:2])
    frames = random_frames(rng, MACS[:2], 300)
    mine = [f for f in frames if f.target in MACS]
    for mac in MACS[:2]:
        bed.register(mac)
        for layer in "IMT":
            for value in range(1, 16):
                for _ in range(2):
                    bed.add(mac, matching(rng, rng.choice(mine).to(mac), layer, value), rng)
    passed = []
    for turn in range(6):
        for layer in "IMT":
            for value in rng.sample(range(16), 4):
                before = bed.model.filters(MACS[0], layer)
                some = [f for f in before if f.value == value]
                if some and turn % 2:
                    one = rng.choice(some)
                    answer = switch.ctl_raw("D %s %s" % (MACS[0], one.any_line(rng)))
                    gone = bed.model.remove(MACS[0], layer, value, one.fields)
                else:
                    answer = switch.ctl_raw("D %s %s" % (MACS[0], " ".join([layer, str(value)] + letters(value))))
                    gone = bed.model.remove(MACS[0], layer, value)
                assert answer["status"] == ("OK" if gone else "NOTFOUND")
                assert not gone or re.match("%d filters? removed for %s: " % (gone, MACS[0]), answer["text"])
        passed += [f for f in frames if not counted(bed.model, f)]
        bed.feed(frames)
        for mac in MACS[:2]:
            for layer in "IMT":
                assert switch.ctl("%s %s" % (layer, mac)) == bed.model.table(mac, layer)
    for mac in MACS[:2]:
        assert switch.ctl("X " + mac) == "MAC %s is not registered any more" % mac
        assert switch.ctl_raw("I " + mac)["status"] == switch.ctl_raw("X " + mac)["status"] == "NOTFOUND"
    assert switch.ctl("stage show fw") == {"firewall": [], "lb": []}
    assert not re.search("^[RA] ", switch.ctl("save"), re.M)
    bed.feed(frames)
    got, _ = bed.output()
    assert sorted(got) == sorted(f.data for f in passed + frames)
