# SPDX-License-Identifier: BSD-3-Clause
"""The guest kit without the switch: the image boots and runs commands, msh speaks to a switch made of Python.

The fake switch serves a region's file; msh reaches it by --region on the host, and through a real ivshmem device
in a guest."""

import json
import mmap
import os
import struct
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import ROOT, Guest, GuestError  # noqa: E402

BUILD = os.environ.get("MSH_BUILD", ROOT + "/build")
MAGIC, HEADER, INDEX = 0x3148534D, 4096, 8192
COMMAND_HEAD, COMMAND_TAIL, EVENT_HEAD, EVENT_TAIL = (INDEX + 64 * i for i in range(4))
STATUS = {"OK": 0, "BAD": 1}
COMMAND, ANSWER, EVENT = 1, 2, 3


class FakeSwitch:
    """Answers `echo TEXT` with OK TEXT, `table` with data, `tick N` with N events first, `die` not at all, and the
    rest with BAD."""

    def __init__(self, path, size=1 << 20, session=7):
        with open(path, "a+b") as stream:
            stream.truncate(size)
            self.memory = mmap.mmap(stream.fileno(), size)
        self.words = memoryview(self.memory).cast("I")  # one store each: struct would write byte by byte
        self.size, self.ring, self.stopped, self.commands = size, size // 4, False, []
        self.start(session)
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def start(self, session):
        """What the switch does when it attaches: magic last."""
        self.store(HEADER, 0)
        for index in (COMMAND_HEAD, COMMAND_TAIL, EVENT_HEAD, EVENT_TAIL):
            self.store(index, 0)
        ring = self.ring
        self.memory[HEADER + 4:HEADER + 56] = struct.pack("<HHQQIIIIIII4x", 1, 56, 7, session, self.size, ring, ring,
                                                          2 * ring, ring, 1024, 3840)
        self.store(HEADER, MAGIC)

    def load(self, offset):
        return self.words[offset // 4]

    def store(self, offset, value):
        self.words[offset // 4] = value & 0xFFFFFFFF

    def get(self, base, count, length):
        return bytes(self.memory[base + (count + i) % self.ring] for i in range(length))

    def put(self, kind, status, cookie, text):
        head, data = self.load(EVENT_HEAD), struct.pack("<IHHQ", len(text), kind, status, cookie) + text
        data += bytes(-len(data) % 8)
        while self.ring - (head - self.load(EVENT_TAIL)) % 2 ** 32 < len(data) and not self.stopped:
            time.sleep(0.001)
        for i, byte in enumerate(data):
            self.memory[2 * self.ring + (head + i) % self.ring] = byte
        self.store(EVENT_HEAD, head + len(data))

    def answer(self, text):
        self.commands.append(text)
        verb, _, rest = text.partition(" ")
        if verb == "echo":
            return "OK " + rest + "\n"
        if verb == "table":
            return "OK\nname  value\none   1\n"
        if verb == "tick":
            for number in range(int(rest)):
                self.put(EVENT, 0, 0, b"tick %d" % number)
            return "OK\n"
        return None if verb == "die" else "BAD no command named \"%s\"\n" % verb

    def poll(self):
        end = self.memory.find(b"@", 1, 4096)
        if self.memory[0:1] == b"@" and end > 0:
            text = self.answer(self.memory[1:end].decode())
            if text is not None:
                self.memory[1:4096] = text.encode()[1:].ljust(4095, b"\0")
                self.memory[0:1] = text[:1].encode()
        tail = self.load(COMMAND_TAIL)
        if self.load(COMMAND_HEAD) != tail:
            length, kind, _, cookie = struct.unpack("<IHHQ", self.get(self.ring, tail, 16))
            assert kind == COMMAND
            text = self.answer(self.get(self.ring, tail + 16, length).decode())
            self.store(COMMAND_TAIL, tail + 16 + (length + 7) // 8 * 8)
            if text is not None:
                self.put(ANSWER, STATUS[text.split()[0]], cookie, text.encode())
            return True
        return False

    def serve(self):
        while not self.stopped:
            if not self.poll():
                time.sleep(0.0005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()


@pytest.fixture(name="region")
def make_region(tmp_path):
    path = tmp_path / "region"
    path.write_bytes(bytes(1 << 20))
    return str(path)


def msh(region, *words, stdin=None):
    """(exit status, stdout, stderr) of the tool on the host."""
    run = subprocess.run([BUILD + "/guest/msh", "--region", region, "--timeout", "1500"] + list(words), input=stdin,
                         capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout, run.stderr


# --- the tool, on the host

def test_no_switch(region):
    for words in (["--info"], ["echo", "x"], ["--slot", "echo", "x"]):
        rc, _, error = msh(region, *words)
        assert rc == 1 and "no switch serves this region: its magic is 0x00000000" in error


def test_ring_and_slot(region):
    with FakeSwitch(region) as switch:
        assert msh(region, "echo", "a  b", "c") == (0, 'OK "a  b" c\n', "")
        assert msh(region, "--slot", "echo", "hello") == (0, "OK hello\n", "")
        assert msh(region, "frob") == (1, "", 'BAD no command named "frob"\n')
        assert msh(region, "-s", "frob")[0] == 1
        assert msh(region, "--slot", "die")[2] == "msh: no answer in time: is the switch running?\n"
        assert msh(region, "die")[2] == "msh: no answer in time: is the switch running?\n"
        assert msh(region, "echo x@y")[1] == "OK x@y\n"
        assert "has no '@'" in msh(region, "--slot", "echo", "x@y")[2]
        assert "echo hello" in switch.commands


def test_as_the_seed_helper(region):
    with FakeSwitch(region):
        assert msh(region, "-w", "@echo hello@") == (0, "", "")
        time.sleep(0.1)
        assert msh(region, "-r") == (0, "OK hello\n", "")


def test_script(region, tmp_path):
    """Rings of 16 KiB, so that they fill up and wrap often, at any position."""
    small = str(tmp_path / "small")
    lines = ["# comment", ""] + ["echo %d %s" % (i, "x" * (i % 97)) for i in range(3000)] + ["table"]
    with FakeSwitch(small, 1 << 16) as switch:
        assert msh(small, "-f", "-", stdin="\n".join(lines)) == (0, "name  value\none   1\n", "")
        assert switch.commands == lines[2:]
        path = tmp_path / "script"
        path.write_text("echo 1\n\nfrob\necho 2\n")
        rc, _, error = msh(small, "-f", str(path))
        assert rc == 1 and error.startswith('%s:3: BAD no command named "frob"\n' % path)
        rc, _, error = msh(small, "-f", "-", stdin="echo 1\ndie\n")
        assert rc == 1 and "stdin:2: no answer" in error and "1 commands after line 1 have no answer" in error


def test_events(region):
    with FakeSwitch(region) as switch:
        events = subprocess.Popen([BUILD + "/guest/msh", "--region", region, "-e", "30"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(0.3)
            # The rings are taken: this one goes through the slot.
            assert msh(region, "tick", "2")[0] == 0
            assert [events.stdout.readline() for _ in range(2)] == ["tick 0\n", "tick 1\n"]
            switch.start(session=8)
            assert "restarted" in events.stderr.readline()
            switch.put(EVENT, 0, 0, b"after")
            assert events.stdout.readline() == "after\n"
        finally:
            events.terminate()
            events.communicate()
        assert events.returncode == 0


@pytest.mark.parametrize("offset, value, sentence", [
    (HEADER + 4, 2, "speaks ABI 2"),
    (HEADER + 24, 1 << 30, "region size 1073741824, but 1048576 bytes are mapped"),
    (HEADER + 28, 3, "command ring at 3"),
    (HEADER + 32, 1 << 24, "16777216 bytes"),
    (HEADER + 36, (1 << 32) - 8, "event ring at 4294967288"),
    (HEADER + 40, 12345, "12345 bytes"),
    (HEADER + 44, 1 << 31, "texts to 2147483648"),
])
def test_broken_header(region, offset, value, sentence):
    switch = FakeSwitch(region)
    if offset == HEADER + 4:
        value |= 56 << 16
    switch.store(offset, value)
    rc, _, error = msh(region, "echo", "x")
    assert rc == 1 and sentence in error


def test_broken_rings(region):
    switch = FakeSwitch(region)
    switch.store(COMMAND_TAIL, 12345)
    switch.store(EVENT_HEAD, 1 << 31)
    rc, _, error = msh(region, "echo", "x")
    # What cannot be true is skipped, and the command sent: nobody answers it here.
    assert rc == 1 and error
    for length in (1 << 31, 0xFFFFFFFF, 100):
        switch.start(length)
        switch.memory[2 * switch.ring:2 * switch.ring + 16] = struct.pack("<IHHQ", length, ANSWER, 0, 1)
        switch.store(EVENT_HEAD, 24)
        rc, _, error = msh(region, "echo", "x")
        assert rc == 1 and "the event ring is broken" in error


def test_small_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert "has 1 bytes; a region has 65536 to" in msh(str(path), "--info")[2]
    assert "cannot open" in msh(str(tmp_path / "none"), "--info")[2]


# --- in a guest

@pytest.fixture(name="guest", scope="module")
def boot(tmp_path_factory):
    path = tmp_path_factory.mktemp("vm") / "region"
    path.write_bytes(bytes(1 << 20))
    with Guest("boots", region=str(path), build=BUILD) as guest:
        yield guest


def test_commands(guest):
    assert guest.run("echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
    assert guest.check("hostname") == "boots\n"
    rc, output = guest.run("sleep 20", timeout=0.5)
    assert rc == 124
    assert len(guest.check("seq 200000")) == 1288895
    guest.write("/tmp/file", bytes(range(256)) * 400)
    assert guest.check("wc -c < /tmp/file").strip() == "102400"
    with pytest.raises(GuestError, match="gave 1"):
        guest.check("false")


def test_background(guest):
    started = time.monotonic()
    assert guest.run("(sleep 2; touch /tmp/late) & echo now") == (0, "now\n")
    assert time.monotonic() - started < 2
    job = guest.spawn("for i in 1 2 3; do echo $i; sleep 0.1; done; exec sleep 100")
    lines = job.lines(timeout=10)
    assert [next(lines) for _ in range(3)] == ["1", "2", "3"]
    assert guest.check("echo meanwhile") == "meanwhile\n"
    assert job.stop() == (143, "1\n2\n3\n")
    guest.check("for i in $(seq 50); do [ -e /tmp/late ] && exit 0; sleep 0.1; done; exit 1")


def test_sample(guest):
    job = guest.sample(0.1)
    lines = job.lines(timeout=10)
    first, second = json.loads(next(lines)), json.loads(next(lines))
    job.stop()
    assert second["interrupts"] > first["interrupts"] and "lo" in second["net"]
    assert abs(second["time"] - first["time"] - 0.1) < 0.05
    assert len(job.samples()) >= 2


def test_middlebox_software(guest):
    guest.check("nft -f -", stdin="""
        table ip t {
            chain in { type filter hook input priority 0; ct state established accept
                       tcp dport 80 limit rate 5/second counter log reject with tcp reset; fib daddr type local counter; }
            chain nat { type nat hook postrouting priority 100; oifname lo masquerade; }
        }""")
    assert "masquerade" in guest.check("nft list ruleset; nft flush ruleset")
    assert "10.0.0.1:80 rr" in guest.check("ipvsadm -A -t 10.0.0.1:80 -s rr; ipvsadm -L -n; ipvsadm -C")
    guest.check("ip -d link add br0 type bridge && ip link del br0 && ip tuntap add dev tap0 mode tap")
    assert guest.check("iperf3 -s -D -1 && sleep 0.3 && iperf3 -c 127.0.0.1 -n 1M").count("receiver") == 1


def test_guest_msh(guest):
    rc, output = guest.run("msh --info")
    assert rc == 1 and "no switch serves this region: its magic is 0x00000000, not 0x3148534d" in output
    with FakeSwitch(guest.region):
        assert "features: text ring events (0x7)" in guest.check("msh --info")
        assert guest.check("msh --slot echo hello") == "OK hello\n"
        assert guest.check("msh -w '@echo again@'; sleep 0.2; msh -r") == "OK again\n"
        assert guest.check("msh R F 52:54:00:00:00:01 10.0.0.1 || msh echo ring") == \
            'BAD no command named "R"\nOK ring\n'
        script = "".join("echo %d\n" % i for i in range(500)) + "table\n"
        assert guest.check("msh -f -", stdin=script) == "name  value\none   1\n"


def test_dead_guest_is_told():
    with Guest("dies", build=BUILD) as guest:
        job = guest.spawn("sleep 100")
        guest.spawn("poweroff -f")
        with pytest.raises(GuestError, match="connection to its agent is lost"):
            job.wait(20)
