# SPDX-License-Identifier: BSD-3-Clause
"""The load balancer stage: real connections between kernels in namespaces, and frames compared with scapy."""

import contextlib
import random
import threading

import pytest
from scapy.layers.inet import ICMP, IP, IPOption, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

from lbnet import Connection, Host, captured, ping, two_workers, udp, who
from switch import wait_for

VIP, VIP2 = "10.0.0.10", "10.0.0.11"
ADDRESSES = {"client": ["10.0.0.1"], "other": ["10.0.0.2"], "lb": [VIP, VIP2], "lb2": ["10.0.0.12", "10.0.0.13"],
             "one": ["10.0.0.21"], "two": ["10.0.0.22"]}
NUMBERS = {name: int(addresses[0].split(".")[3]) for name, addresses in ADDRESSES.items()}


@pytest.fixture
def make_net(switch):
    """Hosts by name, those of lb... as VMs; silent: their kernels have no address, so that they say nothing."""
    hosts = []

    def make(*names, silent=False, driver="af_packet", macs=""):
        for name in names:
            hosts.append(Host(switch, name, NUMBERS[name], [a + "/24" for a in ADDRESSES[name] if not silent], driver))
            if not silent:
                hosts[-1].serve()
            if name.startswith("lb"):
                switch.ctl("vm add %s port %s mac %s%s region %s/%s-region" % (
                    name, name, hosts[-1].mac, macs, switch.dir, name))
        return hosts[-len(names):]

    yield make
    for host in hosts:
        host.close()


def redirect(switch, lb, backend, kind=0, source="0.0.0.0", vip=VIP):
    """R L, and wait until the backend's MAC is known."""
    switch.ctl("R L %s %s %d %s %s" % (lb.mac, vip, kind, source, ADDRESSES[backend.name][0]))
    switch.wait_for(lambda: service(switch, vip, kind)["backend_mac"] == backend.mac, 5, "the backend is not found")


def service(switch, vip=VIP, kind=0):
    return next(row for row in switch.ctl("stage show")["lb"] if row["ip"] == vip and row["type"] == kind)


def settled(switch):
    """The service, once the last of what the connections said has passed."""
    last = [None, None]

    def same():
        last[:] = last[1], switch.drops()
        return last[0] == last[1] and not last[1]["in_flight"]
    switch.wait_for(same, 5, "the network does not come to rest", 0.1)
    return service(switch)


def checksum_errors(*hosts):
    return [host.counter(group, "InCsumErrors") for host in hosts for group in ("Tcp", "Udp", "Icmp")]


@pytest.mark.asan
@pytest.mark.parametrize("workers", [1, 2])
def test_connections_go_to_the_backend(switch, make_net, workers):
    if workers == 2:
        two_workers(switch)
    client, lb, one = make_net("client", "lb", "one")
    assert who(client, VIP) == udp(client, VIP) == "lb" and ping(client, VIP) == lb.ttl
    redirect(switch, lb, one)
    before, seen = settled(switch), switch.port("lb")["tx_packets"]
    assert who(client, VIP) == udp(client, VIP) == "one" and ping(client, VIP) == one.ttl
    with Connection(client, VIP) as connection:
        connection.transfer(8 << 20, 8 << 20)
    after = settled(switch)
    assert after["bytes"] - before["bytes"] > 8 << 20 and after["packets"] - before["packets"] > 5500
    assert after["unresolved"] == before["unresolved"] and after["ttl"] == 0
    vm = switch.ctl("vm show lb")
    assert vm["redirected"] == after["packets"] and vm["dropped"] == 0
    # Nothing of it has gone up to the middlebox; ARP may have.
    assert switch.port("lb")["tx_packets"] - seen < 10
    assert not any(checksum_errors(client, one))
    # Kernels do check: what was wrong before is wrong behind the switch.
    bad = Ether(src=client.mac, dst=lb.mac) / IP(src="10.0.0.1", dst=VIP) / UDP(sport=9, dport=7, chksum=77) / b"bad"
    with client.capture() as raw:
        raw.send(bytes(bad))
    switch.wait_for(lambda: one.counter("Udp", "InCsumErrors") == 1, 5, "no checksum error")


@pytest.mark.parametrize("workers", [1, 2])
def test_fragments(switch, make_net, workers):
    """Of them only the first has ports, on the way there and back."""
    if workers == 2:
        two_workers(switch)
    client, lb, one = make_net("client", "lb", "one", driver="tap")
    redirect(switch, lb, one)
    for size in (1600, 5000, 20000):
        assert udp(client, VIP, b"f" * size) == "one"
        assert ping(client, VIP, size, number=size) == one.ttl
    for host in (client, one):
        assert host.counter("Ip", "ReasmOKs") == 6
    assert lb.counter("Ip", "ReasmReqds") == 0 and not any(checksum_errors(client, one))


def test_type_1_takes_one_source(switch, make_net):
    client, other, lb, one, two = make_net("client", "other", "lb", "one", "two")
    redirect(switch, lb, one, 1, "10.0.0.1")
    assert [who(client, VIP), who(other, VIP)] == ["one", "lb"]
    assert [udp(client, VIP), udp(other, VIP), ping(client, VIP), ping(other, VIP)] == ["one", "lb", one.ttl, lb.ttl]
    # Type 0 takes the rest; the other address of the middlebox stays its own.
    redirect(switch, lb, two)
    assert [who(client, VIP), who(other, VIP), who(client, VIP2)] == ["one", "two", "lb"]


def test_two_middleboxes_with_two_services(switch, make_net):
    client, lb, lb2, one, two = make_net("client", "lb", "lb2", "one", "two")
    redirect(switch, lb, one)
    redirect(switch, lb, two, vip=VIP2)
    redirect(switch, lb2, two, vip="10.0.0.12")
    redirect(switch, lb2, one, vip="10.0.0.13")
    targets = {VIP: "one", VIP2: "two", "10.0.0.12": "two", "10.0.0.13": "one"}
    with contextlib.ExitStack() as stack:  # all at once
        open_now = [stack.enter_context(Connection(client, address)) for address in list(targets) * 3]
        for connection in open_now:
            connection.transfer(50000, 50000)
        assert [connection.server for connection in open_now] == list(targets.values()) * 3
        # One of the middleboxes ends it: the connections through the other go on.
        switch.ctl("X " + lb.mac)
        for connection in open_now:
            if connection.socket.getpeername()[0] in ("10.0.0.12", "10.0.0.13"):
                connection.transfer(50000, 50000)
    assert [who(client, address) for address in targets] == ["lb", "lb", "two", "one"]


@pytest.mark.asan
def test_both_stages(switch, make_net):
    """What the firewall drops, the load balancer never sees."""
    client, other, lb, one = make_net("client", "other", "lb", "one")
    switch.ctl("R F %s %s" % (lb.mac, VIP))
    switch.ctl("A %s I 4 s 10.0.0.2" % lb.mac)
    switch.ctl("A %s T 3 p udp d 7" % lb.mac)
    redirect(switch, lb, one)
    assert who(client, VIP) == "one"
    before = settled(switch)["packets"]
    with pytest.raises(TimeoutError):
        who(other, VIP, timeout=0.5)
    with pytest.raises(TimeoutError):
        udp(client, VIP)
    dropped = [row["packets"] for layer in "IT" for row in switch.ctl("%s %s" % (layer, lb.mac))]
    assert dropped[0] >= 1 and dropped[1] == 1
    assert service(switch)["packets"] == before
    assert switch.ctl("vm show lb")["dropped"] == sum(dropped) == switch.port("client")["drops"]["firewall"] + (
        switch.port("other")["drops"]["firewall"])
    switch.ctl("X " + lb.mac)
    assert [who(other, VIP), udp(client, VIP)] == ["lb", "lb"]


@pytest.mark.asan
def test_x_with_traffic_running(switch, make_net):
    client, lb, one = make_net("client", "lb", "one")
    running, served = threading.Event(), []

    def ask():
        while running.is_set():
            # A connection that is cut while it opens has no server.
            with contextlib.suppress(OSError, ValueError):
                served.append(who(client, VIP, timeout=1))
    for turn in range(3):
        redirect(switch, lb, one)
        running.set()
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            switch.wait_for(lambda: served.count("one") >= 20, 10, "nobody is served by the backend")
            with Connection(client, VIP) as cut:
                switch.ctl("X " + lb.mac)
                served.clear()
                # Its packets go to the middlebox, which has no such connection.
                with pytest.raises((ConnectionResetError, TimeoutError)):
                    cut.transfer(10, 10)
            switch.wait_for(lambda: len(served) >= 20, 10, "nobody is served any more")
        finally:
            running.clear()
            for thread in threads:
                thread.join()
        # One may have been answered before X, and not yet been noted, by each thread.
        assert served.count("one") <= 3 and set(served[-10:]) == {"lb"}, served
        assert [w["redirected_flows"] for w in switch.ctl("worker show")] == [0]
        assert switch.ctl("stage show lb") == {"firewall": [], "lb": []}
        served.clear()


def test_x_of_one_mac_leaves_the_flows_of_another(switch, make_net):
    """One VM, two MACs with a service each: a download by the one goes on while the other comes and goes."""
    mac = "02:00:00:00:00:b0"
    client, lb, one = make_net("client", "lb", "one", macs=" mac " + mac)
    # Its kernel does not know this address: only the switch serves it.
    client.ip("neigh", "add", "10.0.0.99", "lladdr", mac, "dev", "eth0")
    switch.ctl("R L %s 10.0.0.99 0 0.0.0.0 10.0.0.21" % mac)
    wait_for(lambda: service(switch, "10.0.0.99")["backend_mac"] == one.mac, 5)
    done = threading.Event()

    def come_and_go():
        while not done.is_set():
            redirect(switch, lb, one)
            switch.ctl("X " + lb.mac)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        with Connection(client, "10.0.0.99") as connection:
            for _ in range(10):
                connection.transfer(1 << 18, 4 << 20)
    finally:
        done.set()
        thread.join()


@pytest.mark.asan
def test_unknown_backend_is_asked_for(switch, make_net):
    """Until it answers, the middlebox does the work itself."""
    client, lb = make_net("client", "lb")
    with client.capture() as wire:
        switch.ctl("R L %s %s 0 0.0.0.0 10.0.0.21" % (lb.mac, VIP))
        question = bytes(Ether(src=lb.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=lb.mac, psrc=VIP, pdst="10.0.0.21"))
        captured(wire, {question})
    assert who(client, VIP) == udp(client, VIP) == "lb"
    row = service(switch)
    # SYN, data and a datagram at least; acknowledgements come with data or alone, or are still on their way.
    assert row["unresolved"] >= 4 and row["packets"] == 0 and row["backend_mac"] == "-"
    one, = make_net("one")
    switch.wait_for(lambda: service(switch)["backend_mac"] == one.mac, 5, "the backend is not found")
    assert who(client, VIP) == udp(client, VIP) == "one"
    # Another service of the same backend works at once, without a question.
    switch.ctl("R L %s %s 0 0.0.0.0 10.0.0.21" % (lb.mac, VIP2))
    assert service(switch, VIP2)["backend_mac"] == one.mac
    assert who(client, VIP2) == "one"


def test_backend_is_overheard(switch, make_net):
    """One that answers no ARP is known as soon as it speaks ARP itself; a group's MAC is not believed."""
    client, lb, one = make_net("client", "lb", "one")
    one.set("ipv4/conf/all/arp_ignore", 8)
    switch.ctl("R L %s %s 0 0.0.0.0 10.0.0.21" % (lb.mac, VIP))
    with one.capture() as raw, client.capture() as wire:
        for mac in ("01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
            lie = Ether(src=one.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=mac, psrc="10.0.0.21", pdst="10.0.0.21")
            raw.send(bytes(lie))
            captured(wire, {bytes(lie)})
        # Nor is a VM that names another's MAC, or another that names a VM's.
        lie = Ether(src=one.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=lb.mac, psrc="10.0.0.21", pdst="10.0.0.21")
        raw.send(bytes(lie))
        captured(wire, {bytes(lie)})
        with lb.capture() as from_vm:
            lie = Ether(src=lb.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=one.mac, psrc="10.0.0.21", pdst="10.0.0.21")
            from_vm.send(bytes(lie))
            switch.wait_for(lambda: switch.port("lb")["drops"]["spoofed_ip"] == 1, 5, lambda: switch.port("lb"))
        assert who(client, VIP) == "lb" and service(switch)["backend_mac"] == "-"
        raw.send(bytes(Ether(src=one.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=one.mac, psrc="10.0.0.21", pdst="10.0.0.2")))
    switch.wait_for(lambda: service(switch)["backend_mac"] == one.mac, 5, "the backend was not overheard")


def test_direct_connections_are_left_alone(switch, make_net):
    """To the backend itself, before, during and between redirected ones."""
    client, lb, one = make_net("client", "lb", "one")
    with Connection(client, "10.0.0.21") as old:
        redirect(switch, lb, one)
        for _ in range(5):
            with Connection(client, VIP) as by_vip, Connection(client, "10.0.0.21") as direct:
                for connection in (by_vip, direct, old):
                    assert connection.server == "one"
                    connection.transfer(100000, 100000)
        assert udp(client, "10.0.0.21") == "one" and ping(client, "10.0.0.21") == one.ttl


def test_port_is_free_for_a_direct_connection(switch, make_net):
    """A closed connection by way of the middlebox does not turn back the answers of a later, direct one."""
    client, lb, one = make_net("client", "lb", "one")
    redirect(switch, lb, one)
    assert who(client, VIP, port=5555) == "one"
    assert who(client, "10.0.0.21", port=5555, timeout=3) == "one"


def test_answers_by_way_of_the_middlebox(switch, make_net):
    """A backend whose gateway is the middlebox: the switch takes that hop, too."""
    client, lb, one = make_net("client", "lb", "one")
    one.ip("route", "add", "10.0.0.1/32", "via", VIP, "dev", "eth0")
    redirect(switch, lb, one)
    seen = lb.counter("Ip", "InReceives")
    with Connection(client, VIP) as connection:
        assert connection.server == "one"
        connection.transfer(1 << 20, 1 << 20)
    assert ping(client, VIP) == one.ttl - 1
    assert lb.counter("Ip", "InReceives") == seen


def random_packet(rng, mark, client_port):
    """Something that a client may send to the service."""
    ip = IP(src="10.0.0.1", dst=VIP, ttl=rng.choice([2, 3, 64, 255]), tos=rng.choice([0, 184]), id=rng.randrange(1 << 16))
    if rng.random() < 0.2:
        ip.options = [IPOption(b"\x94\x04\x00\x00")]
    body = Raw(mark + rng.randbytes(rng.choice([0, 1, 30, 1000])))
    kind = rng.choice(["tcp", "udp", "none", "icmp", "sctp", "other"])
    if kind == "tcp":
        return ip / TCP(sport=client_port, dport=80, flags="PA", seq=rng.randrange(1 << 32)) / body
    if kind in ("udp", "none"):  # a UDP checksum of 0 is none
        return ip / UDP(sport=client_port, dport=7, **({"chksum": 0} if kind == "none" else {})) / body
    if kind == "icmp":
        return ip / ICMP(id=client_port, seq=1) / body
    if kind == "sctp":
        return ip / SCTP(sport=client_port, dport=5) / body
    ip.proto = 253
    return ip / body


@pytest.mark.asan
def test_frames_to_the_byte(switch, make_net):
    """There and back, each frame as scapy computes it from scratch."""
    client, lb, one = make_net("client", "lb", "one", silent=True)
    rng = random.Random(4)
    switch.ctl("R L %s %s 0 0.0.0.0 10.0.0.21" % (lb.mac, VIP))
    with client.capture() as at_client, lb.capture() as at_lb, one.capture() as at_one:
        at_one.send(bytes(Ether(src=one.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=one.mac, psrc="10.0.0.21")))
        switch.wait_for(lambda: service(switch)["backend_mac"] == one.mac, 5, "the backend is not known")
        there, back, to_vm = {}, {}, {}
        packets = {b"mark%04d" % i: random_packet(rng, b"mark%04d" % i, 1000 + i) for i in range(300)}
        for i, (mark, packet) in enumerate(packets.items()):
            packet = IP(bytes(packet))  # with its checksums
            at_client.send(bytes(Ether(src=client.mac, dst=lb.mac) / packet))
            new = packet.copy()
            new.dst, new.ttl = "10.0.0.21", packet.ttl - 1
            there[mark] = bytes(Ether(src=lb.mac, dst=one.mac) / recompute(new))
            if i % 10 == 0:  # one that the middlebox must see: its end of life, or not for this address
                mark = b"mine%04d" % i
                own = IP(src="10.0.0.1", dst=rng.choice([VIP, VIP2]), ttl=1) / UDP() / Raw(mark)
                own.ttl = own.ttl if own.dst == VIP else 64
                to_vm[mark] = bytes(Ether(src=client.mac, dst=lb.mac) / own)
                at_client.send(to_vm[mark])
        assert captured(at_one, set(there)) == there
        assert captured(at_lb, set(to_vm)) == to_vm
        for mark, packet in packets.items():
            answer = IP(bytes(packet))
            answer.src, answer.dst, answer.ttl = "10.0.0.21", "10.0.0.1", 64
            if answer.haslayer(TCP) or answer.haslayer(UDP) or answer.haslayer(SCTP):
                answer.payload.sport, answer.payload.dport = answer.payload.dport, answer.payload.sport
            if answer.haslayer(ICMP):
                answer[ICMP].type = 0
                del answer[ICMP].chksum
            answer = recompute(answer)
            at_one.send(bytes(Ether(src=one.mac, dst=client.mac) / answer))
            answer.src = VIP
            back[mark] = bytes(Ether(src=lb.mac, dst=client.mac) / recompute(answer))
        assert captured(at_client, set(back)) == back
    row = service(switch)
    assert row["packets"] == len(there) and row["bytes"] == sum(map(len, there.values()))
    assert row["ttl"] == sum(IP(data[14:]).dst == VIP for data in to_vm.values()) > 0


def recompute(packet):
    """With new checksums, but for what had none."""
    del packet.chksum
    if packet.haslayer(TCP) or (packet.haslayer(UDP) and packet[UDP].chksum != 0):
        del packet.payload.chksum
    return IP(bytes(packet))
