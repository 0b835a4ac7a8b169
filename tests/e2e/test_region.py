# SPDX-License-Identifier: BSD-3-Clause
"""Regions of several VMs, honest and hostile: what one does costs only itself."""

import os
import random
import stat
import subprocess
import threading
import time

import pytest

from regions import COMMAND_HEAD, EVENT_TAIL, HEADER, Region
from switch import BUILD, wait_for

pytestmark = pytest.mark.asan


def mac(number):
    return "02:00:00:00:00:%02x" % number


class Vms:
    """VMs a, b, c... of one MAC each; their packets go nowhere."""

    def __init__(self, switch, names="ab", size=1 << 16):
        self.switch, self.names = switch, names
        for number, name in enumerate(names):
            switch.ctl("port add %s dev net_null_%s,no-rx=1" % (name, name))
            switch.ctl("vm add %s port %s mac %s region %s size %d" % (name, name, mac(number), self.path(name), size))
        self.region = {name: Region(self.path(name)) for name in names}

    def path(self, name):
        return "%s/region-%s" % (self.switch.dir, name)

    def show(self, name):
        return self.switch.ctl("vm show " + name)

    def errors(self, name):
        return self.show(name)["channel"]["errors"]

    def works(self, name):
        """Whether the VM is served as ever, by ring and by slot."""
        region, own = self.region[name], mac(self.names.index(name))
        assert region.ask("R F %s 10.0.0.1" % own)[0] == "OK"
        assert region.slot(b"@A %s I 4 s 10.9.9.9@" % own.encode()) == "OK filter I 4 s 10.9.9.9 added for " + own
        assert region.ask("X " + own)[0] == "OK"


@pytest.fixture
def two(switch):
    return Vms(switch)


def test_four_vms_at_once(switch):
    """Each has its answers, whole and in order, and nobody else's; the rings wrap many times."""
    vms, seen = Vms(switch, "abcd"), {}

    def work(number, name):
        region, rng, own, filters, answers = vms.region[name], random.Random(number), mac(number), set(), []
        seen[name] = answers
        answers.append(region.ask("R F %s 10.0.0.%d" % (own, number))[0] == "OK")
        for _ in range(25):
            batch = []
            for _ in range(20):
                ip = "10.%d.0.%d" % (number, rng.randrange(40))
                batch.append((ip, region.send("%s %s I 4 s %s" % ("D" if ip in filters else "A", own, ip)), ip in filters))
                filters ^= {ip}
            for ip, cookie, removed in batch:
                kind, status, of, text = region.receive()
                answers.append((kind, status, of) == (2, "OK", cookie) and ip in text and own in text and
                               ("removed" in text) == removed)
        answers.append({row["s"] for row in switch.ctl("I " + own)} == filters)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(vms.names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: answers.count(True) for name, answers in seen.items()} == dict.fromkeys("abcd", 502)
    for name in vms.names:
        assert (vms.show(name)["commands"], vms.show(name)["refused"]) == (501, 0)


def test_authority_comes_from_the_region(two):
    """Whatever a command says, and by either way in."""
    region = two.region["a"]
    two.switch.ctl("R F %s 10.0.0.2" % mac(1))
    saved = two.switch.ctl("save")
    for command in ("R F %s 10.0.0.1", "R L %s 10.0.0.1 0 0.0.0.0 10.0.0.9", "A %s I 0", "D %s I 0", "I %s", "M %s", "T %s",
                    "X %s"):
        for other in (mac(1), mac(9)):
            assert region.ask(command % other) == ("DENIED", "DENIED MAC %s is not one of this VM's\n" % other)
            assert region.slot(b"@%s@" % (command % other).encode()) == "DENIED MAC %s is not one of this VM's" % other
    for command in ("port add x dev net_null_x", "port del a", "vm del b", "vm add v port a mac 02:00:00:00:00:77", "save",
                    "stage show", "drop show", "fdb show", "worker show", "vm show", "port show"):
        assert region.ask(command)[0] == "DENIED", command
    assert two.switch.ctl("save") == saved
    two.works("a")


BAD = {
    b"": "BAD", b"   ": "BAD", b"\0": "BAD", b"R\nF": "BAD", b"A \xff": "BAD", b"x" * 1024: "BAD", b'"open': "BAD",
    b" ".join([b"w"] * 65): "BAD", b"# no command": "BAD", b"A": "BAD", b"A nonsense I 4": "BAD"}


def test_bad_commands(two):
    for text, status in BAD.items():
        assert two.region["a"].ask(text)[0] == status, text
        if b"\0" not in text:
            assert two.region["a"].slot(b"@" + text + b"@").split()[0] == status, text
    two.works("a")


@pytest.mark.parametrize("lie", [{"kind": 2}, {"kind": 0}, {"length": 1025}, {"length": 1 << 31}, {"length": 0xffffffff},
                                 {"length": 900}])
def test_records_that_lie(two, lie):
    region = two.region["a"]
    cookie = region.send("version", **lie)
    assert region.receive()[1:3] == ("BAD", cookie)
    region.head = region.load(COMMAND_HEAD)
    two.works("a")
    assert two.errors("a") == 1 and two.errors("b") == 0


@pytest.mark.parametrize("leap", [1, 8, 15, (1 << 14) + 8, 1 << 31, -8, -4096])
def test_heads_that_lie(two, leap):
    region = two.region["a"]
    region.head += leap
    region.store(COMMAND_HEAD, region.head)
    assert region.receive()[1:3] == ("BAD", 0)
    two.works("a")
    assert two.errors("a") == 1


def test_tails_that_lie(two):
    region = two.region["a"]
    for value in (region.tail + 8, region.tail - 8, region.tail + 1, region.tail ^ 0x80000000):
        region.store(EVENT_TAIL, value)
        assert region.slot(b"@version@").startswith("OK")
        region.store(EVENT_TAIL, region.tail)
        while region.load(8320) != region.tail % 2 ** 32:  # the event that says so
            assert region.receive()[0] == 3
    two.works("a")


@pytest.mark.parametrize("text", [b"@no end", b"@" + b"x" * 1025 + b"@", b"@" + b"x" * 4094, b"@" + b"\0" * 4094 + b"@"],
                         ids=["no end", "long", "long, no end", "NULs"])
def test_slots_that_lie(two, text):
    assert two.region["a"].slot(text).startswith("BAD")
    two.works("a")
    assert two.errors("a") == 1


def test_a_slot_is_taken_once(two):
    region = two.region["a"]
    assert region.slot(b"@R F %s 10.0.0.1@" % mac(0).encode()).startswith("OK")
    time.sleep(0.05)
    assert two.show("a")["commands"] == 1


def test_scribbler(two):
    """Everything in the region, at random and all the time: the other VM, and packets, do not notice."""
    two.switch.ctl("port add load dev net_null_load,size=64")  # as many packets as the worker can take, flooded
    region, rng, end = two.region["a"], random.Random(5), time.monotonic() + 4
    rounds, slowest = 0, 0
    while time.monotonic() < end:
        for _ in range(200):
            where = rng.choice([rng.randrange(4096), HEADER + rng.randrange(64), 8192 + rng.randrange(256),
                                region.ring + rng.randrange(2 * region.ring)])
            region.memory[where:where + 8] = rng.choice([rng.randbytes(8), bytes(8), b"@" * 8, b"\xff" * 8])
        rng.choice([lambda: region.store(COMMAND_HEAD, rng.randrange(1 << 32)), lambda: region.send(rng.randbytes(30)) if
                    region.room() > 64 else None, lambda: region.store(COMMAND_HEAD, region.load(8256) + 64)])()
        start = time.monotonic()
        two.works("b")
        slowest = max(slowest, time.monotonic() - start)
        rounds += 1
    assert rounds > 20 and slowest < 1, (rounds, slowest)
    assert two.errors("a") > 0 and two.errors("b") == 0
    two.switch.ctl("port del load")
    drops = two.switch.drops()
    assert drops["received"] > 10000 and drops["received"] + drops["copies"] == (
        drops["sent"] + drops["dropped"] + drops["in_flight"])


def test_a_flood_costs_its_sender(two):
    """One VM gives commands as fast as it can: the other is answered as before, and so is the operator."""
    flood = subprocess.Popen(["sh", "-c", "yes version | %s/bin/msh --region %s -f - >/dev/null" % (BUILD, two.path("a"))],
                             process_group=0)
    try:
        wait_for(lambda: two.show("a")["commands"] > 1000, 10, "no flood")
        times = []
        for _ in range(100):
            start = time.monotonic()
            assert two.region["b"].ask("version")[0] == "OK"
            times.append(time.monotonic() - start)
            assert two.switch.ctl_raw("version")["status"] == "OK"
        assert sorted(times)[90] < 0.05, times
    finally:
        os.killpg(flood.pid, 9)
        flood.wait()


@pytest.mark.parametrize("size", [0, 4096, 8192, 1 << 15])
def test_truncated(two, size):
    """The file shrinks on the host while it is mapped."""
    os.truncate(two.path("a"), size)
    if size == 1 << 15:  # all is there but the ring of answers
        two.region["a"].send("version")
    wait_for(lambda: two.show("a")["state"] == "the file was truncated", 5, "not noticed")
    two.works("b")
    assert "vm a: region %s given up" % two.path("a") in two.switch.log()
    two.switch.ctl("vm del a")
    if os.path.exists(two.path("a")):
        os.unlink(two.path("a"))
    two.switch.ctl("vm add a port a mac %s region %s size 65536" % (mac(0), two.path("a")))
    two.region["a"] = Region(two.path("a"))
    two.works("a")


def test_file_of_the_switch(switch, tmp_path):
    """Mode and owner, who removes it, and what is refused."""
    path = str(tmp_path / "region")
    add = "vm add a port a mac %s region %s" % (mac(0), path)
    switch.ctl("port add a dev net_null_a,no-rx=1")
    switch.ctl(add)
    made = os.stat(path)
    assert (stat.S_IMODE(made.st_mode), made.st_size, made.st_blocks * 512 >= 1 << 20) == (0o600, 1 << 20, True)
    switch.ctl("vm del a")
    assert not os.path.exists(path)
    switch.ctl(add + " size 131072 owner nobody:daemon mode 0660")
    made = os.stat(path)
    assert (stat.S_IMODE(made.st_mode), made.st_size, made.st_uid, made.st_gid) == (0o660, 1 << 17, 65534, 1)
    switch.ctl("vm del a")
    with open(path, "wb") as stream:  # not the switch's: it stays
        stream.truncate(1 << 18)
    switch.ctl(add)
    assert Region(path).size == 1 << 18
    switch.ctl("vm del a")
    assert os.path.exists(path)


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo", "odd size", "small", "parent"])
def test_files_that_are_refused(switch, tmp_path, kind):
    path = str(tmp_path / "region")
    if kind == "symlink":
        (tmp_path / "target").write_bytes(bytes(1 << 20))
        os.symlink(tmp_path / "target", path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "parent":
        path = str(tmp_path / "no" / "region")
    else:
        with open(path, "wb") as stream:
            stream.truncate(100000 if kind == "odd size" else 32768)
    switch.ctl("port add a dev net_null_a,no-rx=1")
    answer = switch.ctl_raw("vm add a port a mac %s region %s" % (mac(0), path))
    assert answer["status"] in ("BAD", "FAILED", "NOTFOUND") and path in answer["text"], answer
    assert switch.ctl("vm show") == []


def test_a_new_session(two):
    """The switch goes and comes back: the guest sees another session and is served again."""
    region = two.region["a"]
    before = bytes(region.memory[HEADER + 16:HEADER + 24])
    config = two.switch.write("saved", two.switch.ctl("save"))
    two.switch.stop()
    assert os.path.exists(two.path("a"))
    two.switch.command += ["--config", config]
    two.switch.start()
    assert bytes(region.memory[HEADER + 16:HEADER + 24]) not in (before, bytes(8))
    two.region["a"] = Region(two.path("a"))
    two.works("a")
