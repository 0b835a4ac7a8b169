# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong around the switch: devices that vanish, guests that die or do not take their packets, memory that
runs out. It goes on, every packet is accounted for, and the others lose nothing: beside each fault two hosts talk that
have no part in it. And sockets that cannot be made."""

import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest

from lbnet import Host
from peer import Peer, Pmd
from switch import StartError
from wire import Steady, Wire, make_frame, not_leaking

A, B, NOBODY = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:99"
JUMBO = {"sizes": "2000,2000,2000,2000,1014"}


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


def settled(switch, *names):
    """Nothing of these ports' is on its way any more, and all packets are accounted for."""
    last = [None, None]

    def still():
        last[:] = last[1], [switch.port(name) for name in names]
        drops = switch.drops()
        accounted = drops["received"] + drops["copies"] == drops["sent"] + drops["dropped"]
        return last[0] == last[1] and accounted
    switch.wait_for(still, 10, lambda: switch.drops(), 0.2)


def state(switch, name, wanted):
    switch.wait_for(lambda: switch.port(name)["state"] == wanted, 10,
                    lambda: "not %s: %s" % (wanted, switch.port(name)))


def more(switch, name, counter, count=100):
    """Wait until a port has counted so many more."""
    goal = switch.port(name)[counter] + count
    switch.wait_for(lambda: switch.port(name)[counter] > goal, 10, lambda: "no %s: %s" % (counter, switch.port(name)))


def more_drops(switch, name, reason, count=100):
    goal = switch.port(name)["drops"][reason] + count
    switch.wait_for(lambda: switch.port(name)["drops"][reason] > goal, 10,
                    lambda: "no %s: %s" % (reason, switch.port(name)))


class Flow:
    """One host's frames to another's MAC, about a thousand a second, whatever becomes of it."""

    def __init__(self, host, target):
        self.wire, self.frame, self.stop = Wire(host), make_frame(host.mac, target, 200), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            with contextlib.suppress(OSError):  # its interface may be what vanishes
                self.wire.send(self.frame)
            time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(10)
        self.wire.close()


@pytest.mark.parametrize("kind", not_leaking(["af_packet", "af_xdp", "tap"]))
def test_device_vanishes(switch, stack, kind):
    """Its interface is deleted with traffic both ways: the link goes down, drops have names, the port can be removed,
    and made again with a new interface of the same name."""
    steady = stack.enter_context(Steady(switch))
    one = stack.enter_context(contextlib.closing(Host(switch, "one", 1, [], kind)))
    two = stack.enter_context(contextlib.closing(Host(switch, "two", 2, [])))
    for _ in range(2):
        switch.ctl("vm add one port one mac " + one.mac)
        with Flow(one, two.mac), Flow(two, one.mac):
            more(switch, "one", "tx_packets")
            more(switch, "two", "tx_packets")
            one.ip("link", "del", "eth0")
            state(switch, "one", "down")
            more_drops(switch, "two", "link_down")
            switch.ctl("vm del one")
            switch.ctl("port del one")
        settled(switch, "two")
        two_drops = {reason for reason, count in switch.port("two")["drops"].items() if count}
        assert two_drops <= {"tx_full", "link_down"}
        if kind != "tap":
            one.make_veth()
        one.attach()
    steady.end()


def test_memif_peer_is_killed(switch, stack):
    """In the middle of its traffic, both ways; the next one is served."""
    steady = stack.enter_context(Steady(switch))
    two = stack.enter_context(contextlib.closing(Host(switch, "two", 2, [])))
    path = switch.dir + "/one.memif"
    switch.ctl("port add one dev net_memif_one,role=server,socket=%s,socket-abstract=no" % path)
    switch.ctl("vm add one port one mac " + A)
    with Flow(two, A):
        for last in (False, True):
            with Pmd(["net_memif0,role=client,mac=%s,socket=%s,socket-abstract=no" % (A, path)]) as peer:
                state(switch, "one", "up")
                peer.run("txonly", two.mac)
                more(switch, "one", "rx_packets")
                more(switch, "one", "tx_packets")
                if not last:
                    peer.kill()
                    state(switch, "one", "down")
                    more_drops(switch, "two", "link_down")
    settled(switch, "one", "two")
    steady.end()


@pytest.mark.asan
def test_guest_takes_nothing_and_dies(switch, stack):
    """Flooded by another guest all the while."""
    steady = stack.enter_context(Steady(switch))
    for name, mac in (("a", A), ("b", B)):
        switch.ctl("port add %s vhost %s/%s.sock" % (name, switch.dir, name))
        switch.ctl("vm add %s port %s mac %s" % (name, name, mac))
    with Peer(switch.dir + "/a.sock", A) as a:
        a.run("txonly", B)
        with Peer(switch.dir + "/b.sock", B) as b:
            state(switch, "b", "up")
            more_drops(switch, "a", "tx_full", 10000)
            b.kill()
            state(switch, "b", "down")
            more_drops(switch, "a", "link_down", 10000)
        a.stop()
        settled(switch, "a", "b")
        port = switch.port("a")
        assert port["rx_packets"] == a.stats()["TX-packets"] == port["forwarded"] + port["dropped"]
    steady.end()


def rate(switch, name, seconds=0.5):
    before, start = switch.port(name)["tx_packets"], time.monotonic()
    time.sleep(seconds)
    return (switch.port(name)["tx_packets"] - before) / (time.monotonic() - start)


def test_packet_pool_runs_dry(switch_factory, stack):
    """The smallest pool that the switch starts with, and long frames flooded to many who do not take them."""
    switch = switch_factory(memory=32)
    assert "4095 packet buffers" in switch.log()
    steady = stack.enter_context(Steady(switch))
    arguments = ["--tx-offloads=0x8000", "--rx-offloads=0x2000"]
    crowd = ["net_virtio_user%d,path=%s/x%d.sock,queue_size=64,mrg_rxbuf=1" % (i, switch.dir, i) for i in range(28)]
    for i in range(len(crowd)):
        switch.ctl("port add x%d vhost %s/x%d.sock" % (i, switch.dir, i))
    for name, mac in (("a", A), ("b", B)):
        switch.ctl("port add %s vhost %s/%s.sock" % (name, switch.dir, name))
        switch.ctl("vm add %s port %s mac %s" % (name, name, mac))
    a, b = [stack.enter_context(Peer("%s/%s.sock" % (switch.dir, name), mac, arguments=arguments))
            for name, mac in (("a", A), ("b", B))]
    stack.enter_context(Pmd(crowd, ["--rxd=64", "--txd=64", "--total-num-mbufs=12000", *arguments]))
    for name in ["a", "b"] + ["x%d" % i for i in range(len(crowd))]:
        state(switch, name, "up")
    b.run("rxonly")
    a.run("txonly", B, JUMBO["sizes"])
    before = min(rate(switch, "b") for _ in range(4))  # others use this machine, too
    a.stop()
    assert switch.port("a")["drops"]["no_mbuf"] == 0
    a.run("txonly", NOBODY, JUMBO["sizes"])
    more_drops(switch, "a", "no_mbuf", 1000)
    a.stop()
    settled(switch, "a")
    dry = switch.port("a")
    assert dry["rx_packets"] + dry["copies"] == dry["forwarded"] + dry["dropped"]
    assert {reason for reason, count in dry["drops"].items() if count} <= {"no_mbuf", "tx_full", "too_big"}
    a.run("txonly", B, JUMBO["sizes"])
    switch.wait_for(lambda: rate(switch, "b") > 0.5 * before, 15, "it is not as fast as before")
    a.stop()
    settled(switch, "a", "b")
    b.stop()
    after = switch.port("a")
    assert after["drops"]["no_mbuf"] == dry["drops"]["no_mbuf"]
    assert after["rx_packets"] == a.stats()["TX-packets"] and switch.port("b")["tx_packets"] == b.stats()["RX-packets"]
    steady.end()


@pytest.fixture
def read_only(tmp_path):
    """A directory that not even root can make a file in."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", tmp_path], check=True)
    yield str(tmp_path)
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def taken(tmp_path):
    """A socket that another program listens at."""
    path = str(tmp_path / "taken")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        yield path


@pytest.mark.asan
def test_sockets_that_cannot_be_made(switch, read_only):
    """Each is an error that names it, leaves nothing, and the same name is free for one that can."""
    memif = "dev net_memif_x,role=server,socket-abstract=no,socket="
    with Steady(switch) as steady:
        before = switch.ctl("save")
        for kind, path in (("vhost ", read_only + "/x"), (memif, read_only + "/x"), (memif, "/nothere/x"),
                           (memif, "/tmp/" + "x" * 120), (memif, "/etc/passwd")):
            answer = switch.ctl_raw("port add x %s%s" % (kind, path))
            assert answer["status"] == "FAILED" and path in answer["text"], answer
            assert switch.ctl("save") == before
            for good in ("vhost ", memif):
                switch.ctl("port add x %s%s/x" % (good, switch.dir))
                switch.ctl("port del x")
                assert not os.path.exists(switch.dir + "/x")
        steady.end()


@pytest.mark.asan
def test_socket_is_taken(switch, taken):
    """By another program, of another kind, by another port: whoever has it keeps it."""
    memif = "dev net_memif_%s,role=server,socket-abstract=no,socket=%s"
    for kind in ("vhost " + taken, memif % ("x", taken)):
        answer = switch.ctl_raw("port add x " + kind)
        assert answer["status"] == "FAILED" and taken in answer["text"], answer
        assert os.path.exists(taken)
    path = switch.dir + "/x"
    switch.ctl("port add x " + memif % ("x", path))
    answer = switch.ctl_raw("port add y vhost " + path)
    assert answer["status"] == "FAILED" and path in answer["text"], answer
    switch.ctl("port add y " + memif % ("y", path) + ",id=1")  # memifs may share one
    switch.ctl("port del y")
    with Pmd(["net_memif0,role=client,socket=%s,socket-abstract=no" % path]):
        state(switch, "x", "up")


def test_memif_socket_of_a_crash(switch):
    """It is still there after SIGKILL, and the next start takes its place."""
    path = switch.dir + "/x.memif"
    switch.ctl("port add x dev net_memif_x,role=server,socket-abstract=no,socket=" + path)
    switch.command += ["--config", switch.write("saved", switch.ctl("save"))]
    switch.kill()
    assert os.path.exists(path)
    switch.start()
    assert switch.port("x")["state"] == "down"


def test_control_socket_cannot_be_made(switch_factory, read_only):
    with pytest.raises(StartError) as error:
        switch_factory(socket=read_only + "/ctl")
    last = error.value.log.splitlines()[-1]
    assert error.value.status == 1 and last.startswith("mshswitch: ") and read_only + "/ctl" in last, last
