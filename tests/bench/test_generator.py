# SPDX-License-Identifier: BSD-3-Clause
"""The generator before the switch: what one counts the other counts, and packets are what was asked for."""

import os
import signal
import sys
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import wrpcap

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import loss  # noqa: E402
import rules  # noqa: E402
from contestants import NIC_MAC, Contestant  # noqa: E402
from generator import Generator  # noqa: E402

MAC = Contestant().macs()[1]
SLOW = {"rate": 20000, "ms": 200, "warmup": 0}
HELD = 0.5  # seconds
SOME = 50  # packets, also on a machine that does other things


@pytest.fixture
def generator(switch):
    paths = ["%s/%s.sock" % (switch.dir, port) for port in "ab"]
    for port, path in zip("ab", paths):
        switch.ctl("port add %s vhost %s" % (port, path))
    end = Contestant()
    end.ports = ["path=" + path for path in paths]
    generator = Generator([end], switch.dir, huge=False)
    switch.ctl("worker idle spin")  # a busy virtual machine can make a nap one of 300 ms
    for port in "ab":
        switch.wait_for(lambda: switch.port(port)["state"] == "up")
    yield generator
    generator.stop()


def slow_run(switch, generator, **words):
    """One in which the ring took all: what it refuses is missing in the order."""
    for _ in range(20):
        before = switch.port("a")
        result = loss.run(switch, generator, drain=300, **SLOW, **words)
        switch.wait_for(lambda: switch.port("a")["rx_packets"] == before["rx_packets"] + result["all_sent"], 5)
        if result["refused"] == 0 and result["all_sent"] > SOME:
            break
    after = switch.port("a")
    blocked = after["drops"]["firewall"] - before["drops"]["firewall"]
    return dict(result, bytes=after["rx_bytes"] - before["rx_bytes"], blocked=blocked)


@pytest.mark.parametrize("rate", [20000, 0], ids=["slow", "full load"])
def test_counters_agree(switch, generator, rate):
    result = loss.run(switch, generator, rate=rate, ms=200, drain=300, latency=1, size="64,1518", flows=100,
                      order="random")
    assert result["all_received"] > SOME
    assert result["lost"] == result["all_sent"] - result["all_received"] == result["switch"]["switch dropped"]
    assert loss.disagreements(result) == []
    latency = [result["latency_us"][name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert 0 < latency[0] and latency == sorted(latency)


def held_in_a_run(generator, process, **words):
    """The result of a run in which a process had no time for HELD seconds."""
    generator.begin(0, ms=2000, rate=100000, warmup=0, drain=300, **words)
    time.sleep(0.5)
    process.send_signal(signal.SIGSTOP)
    time.sleep(HELD)
    process.send_signal(signal.SIGCONT)
    return generator.read()


def test_gap_of_the_generator(switch, generator):
    """It knows of it, and packets that were on their way then do not count."""
    result = held_in_a_run(generator, generator.process, latency=1)
    assert result["gaps"]["longest_us"] > HELD * 0.9e6 and result["gaps"]["part"] > 0.1
    assert 0 < result["undisturbed_us"]["samples"] < result["latency_us"]["samples"]


def test_silence_of_the_switch(switch, generator):
    """It is told from the generator's own gaps."""
    result = held_in_a_run(generator, switch.process)
    assert result["silence_us"] > HELD * 0.05e6  # it may have had little time to look


def test_rule_set(switch, generator, tmp_path):
    """Each hit is blocked, no miss is."""
    line = "@10.1.%d.0/24 10.2.0.0/16 0 : 65535 %d : %d 0x%02x/0xFF\n"
    (tmp_path / "rules").write_text("".join(line % (n, n, n + 9, (6, 17, 132)[n % 3]) for n in range(50)))
    found = rules.RuleSet(str(tmp_path / "rules"))
    for line in ["vm add b port b mac " + MAC, *rules.commands(found, MAC)]:
        switch.ctl(line)
    for kind in ("hits", "misses"):
        rules.write(getattr(found, kind), tmp_path / kind)
    result = slow_run(switch, generator, headers=tmp_path / "hits")
    assert result["blocked"] == result["all_sent"] > SOME and result["all_received"] == 0
    filters = sorted(row["packets"] for row in switch.ctl("rule show %s in" % MAC) if row["rule"] != "default")
    assert len(filters) == 50 and filters[0] > 0, "not spread over the filters"
    result = slow_run(switch, generator, headers=tmp_path / "misses")
    assert result["blocked"] == 0 and result["all_received"] > SOME and loss.disagreements(result) == []


def test_captures(switch, generator, tmp_path):
    """Frames of both files in turn, as they are but for the MACs."""
    frames = [Ether() / IP(dst="10.0.0.2") / UDP() / bytes(n) for n in (0, 1400)]
    frames.append(Ether() / Dot1Q(vlan=5) / bytes(100))
    wrpcap(str(tmp_path / "one.pcap"), frames[:2])
    wrpcap(str(tmp_path / "two.pcap"), frames[2:])
    result = slow_run(switch, generator, pcap=[tmp_path / "one.pcap", tmp_path / "two.pcap"])
    rounds, rest = divmod(result["all_sent"], 3)
    sizes = [len(frame) for frame in frames]
    assert result["all_sent"] > SOME and loss.disagreements(result) == []
    assert result["bytes"] == rounds * sum(sizes) + sum(sizes[:rest])


def test_another_destination(switch, generator):
    """Packets go where their MAC is, and not to the port that is waited at."""
    switch.ctl("fdb add %s a" % NIC_MAC)
    result = slow_run(switch, generator, to=NIC_MAC)
    assert result["all_sent"] > SOME and result["all_received"] == 0


def test_errors(generator):
    """Each is told, and it goes on."""
    for words, said in (({"pcap": "/nowhere"}, "/nowhere"), ({"headers": "/nowhere"}, "/nowhere: No such file"),
                        ({"size": "9"}, "size"), ({"to": "9"}, "to cannot be"),
                        ({"headers": "/proc/version"}, "/proc/version:1 is no header")):
        with pytest.raises(RuntimeError, match=said):
            generator.run(0, **words)
    assert generator.run(0, **SLOW)["all_sent"] > 0
