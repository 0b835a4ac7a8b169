# SPDX-License-Identifier: BSD-3-Clause
"""Rules of the firewall: frames of scapy beside a naive rule book, and what kernels make of a rejection."""

import contextlib
import errno
import os
import random
import socket
import sys
import subprocess
import time

import pytest
from scapy.all import ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6, raw

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import rulebook  # noqa: E402
from lbnet import who  # noqa: E402
from regions import Region  # noqa: E402
from rulebed import FW, PEER, SIDES, Bed  # noqa: E402
from rulebook import Rule, Rulebook  # noqa: E402
from switch import BUILD  # noqa: E402
from wire import make_frame  # noqa: E402

BEHIND = "02:00:00:00:00:03"  # the peer
ALL = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def bed(switch):
    with contextlib.ExitStack() as stack:
        yield Bed(switch, stack)


def random_frames(rng, side, count):
    source, target = (rng.choice([PEER, BEHIND]), FW) if side == "in" else (FW, PEER)
    return [rulebook.random_frame(rng, source, ALL if rng.random() < 0.1 else target, number) for number in range(count)]


@pytest.mark.asan
@pytest.mark.parametrize("seed", range(3))
def test_random_rules(bed, seed):
    rng = random.Random("rules %d" % seed)
    bed.let_markers_through()
    verdicts = {"in": ["allow", "drop", "drop", "vm"], "out": ["allow", "drop"]}
    for turn in range(4):
        for side in SIDES:
            for _ in range(8):
                number = rng.choice([n for n in range(1, 1000) if n not in [r.number for r in bed.book.rules[side]]])
                bed.add(rulebook.random_rule(rng, number, side, verdicts[side]))
            if turn == 2:
                bed.book.default[side].verdict = "drop"
                bed.switch.ctl("rule default %s %s drop" % (FW, side))
            bed.pass_through(side, random_frames(rng, side, 200))
            gone = rng.choice(bed.book.rules[side][1:])
            bed.switch.ctl("rule del %s %s %d" % (FW, side, gone.number))
            bed.book.rules[side].remove(gone)
        assert bed.shown() == bed.book.rows()
    for side in SIDES:
        assert sum(rule.packets > 0 for rule in bed.book.rules[side]) > 5
    assert bed.accounts_agree() > 100


@pytest.mark.asan
def test_saved(switch, tmp_path):
    """What `save` prints makes the same rules; each value in one form, whatever form it was given in."""
    switch.ctl("port add fw vhost %s/fw" % switch.dir)
    switch.ctl("vm add fw port fw mac " + FW)
    switch.ctl("R F %s 10.0.0.1" % FW)
    rng = random.Random("save")
    for side in SIDES:
        for number in rng.sample(range(1 << 20), 200):
            rule = rulebook.random_rule(rng, number, side, ["allow", "drop", "reject"])
            switch.ctl("rule add %s %s %d %s%s" % (FW, side, number, rule.verdict, rule.words()))
    switch.ctl("rule default %s in reject" % FW)
    shown, saved = switch.ctl("rule show " + FW), switch.ctl("save")
    assert saved.count("\nrule add ") == 400 and "rule default %s in reject\n" % FW in saved
    (tmp_path / "saved").write_text(saved)
    switch.stop()
    switch.command += ["--config", str(tmp_path / "saved")]
    switch.start()
    assert switch.ctl("rule show " + FW) == shown and switch.ctl("save") == saved
    numbers = [int(row["rule"]) for row in shown if row["side"] == "in" and row["rule"] != "default"]
    assert numbers == sorted(numbers) and len(numbers) == 200
    switch.ctl("X " + FW)
    assert "rule" not in switch.ctl("save")


@pytest.mark.asan
def test_a_new_set_at_once(bed):
    """Between begin and commit the old one is in force; then the new one, whole."""
    bed.let_markers_through()
    bed.add(Rule(10, "in", "drop", {"proto": "udp"}))
    frames = random_frames(random.Random("sets"), "in", 100)
    bed.pass_through("in", frames)
    switch = bed.switch
    assert switch.ctl_raw("rule commit " + FW)["status"] == "NOTFOUND"
    switch.ctl("rule begin " + FW)
    assert switch.ctl_raw("rule begin " + FW)["status"] == "EXISTS"
    switch.ctl("rule add %s in 0 allow type 0x88b5" % FW)
    switch.ctl("rule add %s in 7 drop proto tcp" % FW)
    switch.ctl("rule add %s in 8 drop proto icmp" % FW)
    switch.ctl("rule del %s in 8" % FW)
    before = switch.ctl("save")
    bed.pass_through("in", frames)
    assert bed.shown() == bed.book.rows()
    assert switch.ctl("rule commit " + FW) == "2 rules in and 0 out are in force for " + FW
    bed.book = Rulebook()
    bed.book.add(Rule(0, "in", "allow", {"type": "0x88b5"}))
    bed.book.add(Rule(7, "in", "drop", {"proto": "tcp"}))
    bed.pass_through("in", frames)
    assert bed.shown() == bed.book.rows()
    switch.ctl("rule begin " + FW)
    switch.ctl("rule add %s in 1 drop" % FW)
    switch.ctl("rule abort " + FW)
    bed.pass_through("in", frames)
    assert "rule add %s in 10 drop" % FW in before and "rule add %s in 7 drop" % FW not in before
    switch.ctl("X " + FW)
    switch.ctl("R F %s 10.0.0.1" % FW)
    assert switch.ctl("rule show " + FW) == []


BAD = {
    "rule add {} in": "rule add takes",
    "rule add {} up 1 drop": "'up' is neither in nor out",
    "rule add {} in 1048576 drop": "rule '1048576' is not a number from 0 to 1048575",
    "rule add {} in -1 drop": "rule '-1' is not a number",
    "rule add {} in 1 pass": "'pass' is none of allow, drop, reject and vm",
    "rule add {} out 1 vm": "vm is for packets on their way in",
    "rule default {} out vm": "vm is for packets on their way in",
    "rule add {} in 1 drop from 10.0.0.1/33": "from '10.0.0.1/33': a prefix of IPv4 has 0 to 32 bits",
    "rule add {} in 1 drop from 10.0.0.1/": "a prefix of IPv4 has 0 to 32 bits",
    "rule add {} in 1 drop from 10.0.0.1/24": "from '10.0.0.1/24' has bits behind its prefix of 24",
    "rule add {} in 1 drop to fd00::1/127": "to 'fd00::1/127' has bits behind its prefix of 127",
    "rule add {} in 1 drop to fd00::/129": "a prefix of IPv6 has 0 to 128 bits",
    "rule add {} in 1 drop from host": "from 'host' is no address or prefix",
    "rule add {} in 1 drop from 10.0.0.1 to fd00::1": "different families",
    "rule add {} in 1 drop proto tcpp": "proto 'tcpp' is no protocol",
    "rule add {} in 1 drop sport 65536": "sport '65536' is no port from 0 to 65535",
    "rule add {} in 1 drop dport 80-79": "dport '80-79' is no port from 0 to 65535, or range",
    "rule add {} in 1 drop dport 80-": "dport '80-' is no port",
    "rule add {} in 1 drop flags sin": "flags 'sin' are no TCP flags",
    "rule add {} in 1 drop flags none": "flags 'none' are no TCP flags",
    "rule add {} in 1 drop flags syn,ack/syn": "flags 'syn,ack/syn' are no TCP flags",
    "rule add {} in 1 drop flags syn,/syn": "flags 'syn,/syn' are no TCP flags",
    "rule add {} in 1 drop flags syn proto udp": "flags are TCP's, but proto is 17",
    "rule add {} in 1 drop icmp 256": "icmp '256' is no type from 0 to 255",
    "rule add {} in 1 drop icmp 3/x": "icmp '3/x' is no type",
    "rule add {} in 1 drop icmp 8 proto tcp": "icmp is a type, but proto is 6",
    "rule add {} in 1 drop icmp 8 flags syn": "no packet has both",
    "rule add {} in 1 drop icmp 8 from fd00::1 proto icmp": "icmp is a type, but proto is 1",
    "rule add {} in 1 drop tos 0xb8/0x0f": "tos '0xb8/0x0f' is no byte",
    "rule add {} in 1 drop vlan 4095": "vlan '4095' is neither 1 to 4094 nor none",
    "rule add {} in 1 drop vlan 0": "vlan '0' is neither",
    "rule add {} in 1 drop type 0x5ff": "type '0x5ff' is no EtherType",
    "rule add {} in 1 drop smac 1:2": "smac '1:2' is no MAC",
    "rule add {} in 1 drop src 10.0.0.1": "'src' is nothing that a rule can ask for",
    "rule add {} in 1 drop from": "from needs a value",
    "rule add {} in 1 drop proto tcp proto tcp": "proto is given twice",
    "rule add {} in 5 drop": "has a rule in 5 already",
    "rule del {} in 6": "has no rule in 6",
    "rule del {} out 5": "has no rule out 5",
    "rule commit {}": "has begun no set of rules",
    "rule abort {}": "has begun no set of rules",
    "rule show {} both": "'both' is neither in nor out",
    "rule add 02:00:00:00:00:09 in 1 drop": "no VM has the MAC",
}


@pytest.mark.asan
def test_bad_input(switch):
    switch.ctl("port add fw vhost %s/fw" % switch.dir)
    switch.ctl("vm add fw port fw mac " + FW)
    answer = switch.ctl_raw("rule add %s in 5 drop" % FW)
    assert answer == {"status": "NOTFOUND", "text": "MAC %s is not registered for firewall" % FW}
    switch.ctl("R F %s 10.0.0.1" % FW)
    switch.ctl("rule add %s in 5 drop" % FW)
    before = switch.ctl("save")
    for line, text in BAD.items():
        answer = switch.ctl_raw(line.format(FW))
        assert answer["status"] in ("BAD", "EXISTS", "NOTFOUND") and text in answer["text"], (line, answer)
        assert switch.ctl("save") == before


def connect(host, address, kind=socket.SOCK_STREAM, port=80):
    """The error that the kernel of a host gets, or None."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with host.socket(family, kind) as client:
        try:
            client.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                client.send(b"x")
                client.recv(10)
        except OSError as error:
            return errno.errorcode.get(error.errno, "none")
    return None


@pytest.mark.asan
def test_rejected(bed):
    """A kernel is told at once, whoever it is: refused, or prohibited; on the way in and on the way out."""
    fw, peer = bed.hosts["fw"], bed.hosts["peer"]
    for number, host in enumerate((fw, peer), 1):
        host.set("ipv6/conf/eth0/disable_ipv6", 0)
        host.ip("addr", "add", "fd00::%d/64" % number, "dev", "eth0", "nodad")
    fw.serve()
    peer.serve()
    assert connect(peer, "10.0.0.1") is None and who(fw, "10.0.0.2") == "peer"
    for side, client, server in (("in", peer, 1), ("out", fw, 2)):
        bed.switch.ctl("rule add %s %s 1 reject proto tcp dport 80" % (FW, side))
        bed.switch.ctl("rule add %s %s 2 reject proto udp dport 7" % (FW, side))
        for address in ("10.0.0.%d" % server, "fd00::%d" % server):
            assert connect(client, address) == "ECONNREFUSED"
            assert connect(client, address, socket.SOCK_DGRAM, 7) == ("EACCES" if ":" in address else "EHOSTUNREACH")
        rows = {row["rule"]: row["packets"] for row in bed.switch.ctl("rule show %s %s" % (FW, side))}
        assert rows["1"] >= 2 and rows["2"] == 2  # a kernel that waited long sends its SYN again
        bed.switch.ctl("rule del %s %s 1" % (FW, side))
        bed.switch.ctl("rule del %s %s 2" % (FW, side))
    assert connect(peer, "10.0.0.1") is None
    bed.accounts_agree()


def answers(bed, frame):
    """What comes back for a frame to the firewall, and all sums of it are right."""
    wire = bed.wires["peer"]
    wire.send(raw(frame))
    data = wire.receive(2)
    if data is None:
        return None
    found = Ether(data)
    copy = Ether(data)
    for layer in (IP, TCP, ICMP, ICMPv6DestUnreach):
        for name in ("chksum", "cksum"):
            if layer in copy and name in copy[layer].fields:
                delattr(copy[layer], name)
    assert raw(Ether(raw(copy))) == data, "a checksum is wrong"
    assert found.src == FW and found.dst == PEER
    return found


@pytest.mark.asan
def test_answers_of_reject(bed):
    bed.switch.ctl("rule default %s in reject" % FW)
    head = Ether(src=PEER, dst=FW)
    reset = answers(bed, head / IP(src="10.9.0.2", dst="10.9.0.1") / TCP(sport=1000, dport=80, flags="S", seq=7) / b"abc")
    assert (reset[IP].src, reset[IP].dst, reset[TCP].sport, reset[TCP].dport) == ("10.9.0.1", "10.9.0.2", 80, 1000)
    assert (str(reset[TCP].flags), reset[TCP].seq, reset[TCP].ack) == ("RA", 0, 7 + 1 + 3)
    reset = answers(bed, head / Dot1Q(vlan=5) / IPv6(src="fd09::2", dst="fd09::1") / TCP(flags="A", seq=7, ack=99))
    assert (str(reset[TCP].flags), reset[TCP].seq, reset[Dot1Q].vlan, reset[IPv6].src) == ("R", 99, 5, "fd09::1")
    question = head / IP(src="10.9.0.2", dst="10.9.0.1", id=77) / UDP(sport=1, dport=2) / bytes(300)
    answer = answers(bed, question)
    assert (answer[ICMP].type, answer[ICMP].code, answer[IP].src) == (3, 13, "10.9.0.1")
    quote = raw(answer[ICMP])[8:]
    assert quote == raw(question[IP])[:len(quote)] and len(quote) >= 28
    answer = answers(bed, head / IPv6(src="fd09::2", dst="fd09::1") / ICMPv6EchoRequest())
    assert answer[ICMPv6DestUnreach].code == 1
    silent = [
        IP(src="10.9.0.2", dst="10.9.0.1") / TCP(flags="R"),
        IP(src="10.9.0.2", dst="10.9.0.1") / ICMP(type=3, code=1) / bytes(28),
        IP(src="10.9.0.2", dst="10.9.0.1", frag=5, proto=17) / bytes(30),
        IP(src="224.0.0.1", dst="10.9.0.1") / UDP(),
        IP(src="10.9.0.2", dst="224.0.0.1") / UDP(),
        IPv6(src="::", dst="fd09::1") / UDP(),
        IPv6(src="fd09::2", dst="fd09::1") / ICMPv6DestUnreach() / bytes(48),
        b"\x08\x06" + bytes(28)]
    for layer in silent:
        frame = Ether(src=PEER, dst=FW, type=0x0806) / layer[2:] if isinstance(layer, bytes) else head / layer
        bed.wires["peer"].send(raw(frame))
    bed.wires["peer"].send(raw(Ether(src=PEER, dst=ALL) / IP(src="10.9.0.2", dst="10.9.0.1") / UDP()))
    # The next answer is that of the next question.
    assert answers(bed, head / IP(src="10.9.0.5", dst="10.9.0.1") / TCP(seq=1))[IP].dst == "10.9.0.5"


def test_not_too_many_answers(bed):
    """A flood that is rejected is answered a thousand times a second at most."""
    bed.switch.ctl("rule default %s in reject" % FW)
    frame = raw(Ether(src=PEER, dst=FW) / IP(src="10.9.0.2", dst="10.9.0.1") / UDP() / bytes(20))
    before = bed.switch.port("fw")
    for _ in range(5000):
        bed.wires["peer"].send(frame)
    bed.switch.wait_for(lambda: bed.dropped() == 5000, 10, "not all came")
    answered = bed.switch.port("peer")["tx_packets"]
    assert 100 <= answered < 2500
    assert bed.switch.port("fw")["tx_packets"] == before["tx_packets"]


def test_no_packet_sees_a_mixture(bed, tmp_path):
    """Ten thousand sets in turn, each of which drops by another rule what the one before drops: nothing of it comes
    through meanwhile, and what all of them allow does."""
    switch, wire = bed.switch, bed.wires["peer"]
    with open(tmp_path / "sets", "w") as stream:
        for turn in range(10000):
            stream.write("rule begin {0}\nrule add {0} in {1} drop proto udp\nrule commit {0}\n".format(FW, turn % 2))
    switch.ctl("rule add %s in 5 drop proto udp" % FW)
    blocked = raw(Ether(src=PEER, dst=FW) / IP(src="10.9.0.2", dst="10.9.0.1") / UDP() / bytes(20))
    allowed = make_frame(PEER, FW, 60)
    commands = subprocess.Popen([BUILD + "/bin/mshctl", "-s", switch.socket, "-f", tmp_path / "sets"],
                                stdout=subprocess.DEVNULL, process_group=0)
    while commands.poll() is None or bed.dropped() < 1000:
        for _ in range(10):
            wire.send(blocked)
            wire.send(allowed)
        time.sleep(0.001)  # the kernel's queue has an end
    assert commands.returncode == 0
    dropped = bed.accounts_agree()
    fw, peer = switch.port("fw"), switch.port("peer")
    assert peer["rx_packets"] == dropped + fw["tx_packets"] and fw["tx_packets"] > 1000
    assert len(blocked) != 60 and fw["tx_bytes"] == 60 * fw["tx_packets"], "something that is dropped came through"


@pytest.mark.asan
def test_operators_rules_come_first(bed):
    """What they drop, the VM cannot allow; what they allow, the VM may drop; and the VM sees nothing of them."""
    switch = bed.switch
    with contextlib.closing(Region(switch.dir + "/region")) as region:
        for line in ("rule add %s in 0 allow type 0x88b5", "rule add %s in 1 allow proto udp", "rule add %s in 2 drop proto tcp"):
            assert region.ask(line % FW)[0] == "OK"
        seen = region.ask("rule show " + FW), region.ask("I " + FW)
        switch.ctl("operator R F %s 10.0.0.1" % FW)
        switch.ctl("operator rule add %s in 1 allow proto tcp" % FW)
        switch.ctl("operator rule add %s in 9 drop to 10.0.0.0/8" % FW)
        switch.ctl("operator rule add %s out 9 drop proto udp" % FW)
        assert (region.ask("rule show " + FW), region.ask("I " + FW)) == seen
        for line in ("operator rule show %s", "operator rule del %s in 9", "operator X %s"):
            assert region.ask(line % FW) == ("DENIED", "DENIED operator is for the operator\n")
        for side in SIDES:
            frames = []
            for number, frame in enumerate(random_frames(random.Random(side), side, 300)):
                facts = frame[1]
                first = Rulebook()
                first.add(Rule(1, "in", "allow", {"proto": "tcp"}))
                first.add(Rule(9, "in", "drop", {"to": "10.0.0.0/8"}))
                first.add(Rule(9, "out", "drop", {"proto": "udp"}))
                second = Rulebook()
                second.add(Rule(1, "in", "allow", {"proto": "udp"}))
                second.add(Rule(2, "in", "drop", {"proto": "tcp"}))
                frames.append((frame[0], facts, [book.decide(side, facts, 0) for book in (first, second)]))
            sender, receiver = SIDES[side]
            for data, _, _ in frames:
                bed.wires[sender].send(data)
            wanted = [data for data, _, decided in frames if "drop" not in decided]
            assert 50 < len(wanted) < 280
            assert bed.wires[receiver].receive_all(len(wanted)) == wanted
        assert switch.ctl("stage show fw")["operator firewall"][0]["rules"] == 3
        assert region.ask("X " + FW)[0] == "OK"
    lines = switch.ctl("save").splitlines()
    assert "operator rule add %s in 9 drop to 10.0.0.0/8" % FW in lines
    assert "operator R F %s 10.0.0.1" % FW in lines and "R F %s 10.0.0.1" % FW not in lines
    assert switch.ctl_raw("operator port del fw")["status"] == "BAD"
    switch.ctl("operator X " + FW)
    assert "operator" not in switch.ctl("save")
