# SPDX-License-Identifier: BSD-3-Clause
"""Filters and traffic from a rule set in ClassBench's form, one rule a line:

    @SOURCE/BITS DESTINATION/BITS PORT : PORT PORT : PORT PROTOCOL/MASK [FLAGS/MASK]

Each rule gives one filter: on the addresses and the protocol of a packet that is drawn from it, because filters of the
switch hold values, not prefixes. Hits are packets that match a filter, as many of each; misses are put together from
the same addresses and match none. The same file gives the same of both."""

import ipaddress
import lzma
import random
import re

LINE = re.compile(r"@(\S+/\d+)\s+(\S+/\d+)\s+(\d+) : (\d+)\s+(\d+) : (\d+)\s+(0x\w+)/(0x\w+)")
UDP = 17


def read(path):
    """[(source network, destination network, source ports, destination ports, protocol or None)]"""
    rules = []
    with (lzma.open if path.endswith(".xz") else open)(path, "rt") as stream:
        for number, line in enumerate(stream):
            found = LINE.match(line)
            if not found:
                raise ValueError("%s:%d is no rule of ClassBench's form" % (path, number + 1))
            source, destination = (ipaddress.ip_network(word, strict=False) for word in found.groups()[:2])
            ports = [int(word) for word in found.groups()[2:6]]
            proto, mask = (int(word, 16) for word in found.groups()[6:])
            rules.append((source, destination, ports[:2], ports[2:], proto if mask == 0xff else None))
    return rules


def address(draw, network):
    return str(network[draw.randrange(network.num_addresses)])


class RuleSet:
    """filters: [(source, destination, protocol)]; hits, misses: [(protocol, source, port, destination, port)]"""

    def __init__(self, path, packets=10000):
        draw, rules = random.Random(1), read(path)
        self.filters, self.hits = [], []
        drawn = {}  # filter: ranges of its rule's ports
        for source, destination, source_ports, destination_ports, proto in rules:
            one = address(draw, source), address(draw, destination), proto if proto is not None else UDP
            drawn.setdefault(one, (source_ports, destination_ports))
        self.filters = list(drawn)
        packets = max(packets, len(self.filters))

        def header(one):
            ports = [draw.randint(*ends) for ends in drawn.get(one, ((1024, 65535), (1, 65535)))]
            return one[2], one[0], ports[0], one[1], ports[1]

        self.hits = [header(self.filters[number % len(self.filters)]) for number in range(packets)]
        self.misses = []
        while len(self.misses) < packets:
            source, destination = address(draw, draw.choice(rules)[0]), address(draw, draw.choice(rules)[1])
            one = source, destination, draw.choice(self.filters)[2]
            if one not in drawn:
                self.misses.append(header(one))


def write(headers, path):
    """As the generator reads them."""
    with open(path, "w") as stream:
        stream.writelines("%d %s %d %s %d\n" % header for header in headers)


def commands(rules, mac):
    """Of mshswitch: the filters of the VM with this MAC."""
    return ["R F %s 10.0.0.1" % mac] + [
        "A %s I 7 s %s d %s p %d" % (mac, *one) for one in rules.filters]


def flows(rules):
    """Of OpenFlow."""
    return ["priority=10,ip,nw_src=%s,nw_dst=%s,nw_proto=%d,actions=drop" % one for one in rules.filters] + [
        "priority=0,actions=NORMAL"]


def nftables(rules):
    """A table for the bridge; to look into one set is the best that it can do."""
    return "\n".join([
        "table bridge filters {",
        " set filters { type ipv4_addr . ipv4_addr . inet_proto; elements = {",
        ",\n".join("%s . %s . %d" % one for one in rules.filters),
        " } }",
        " chain forward { type filter hook forward priority 0; ip saddr . ip daddr . ip protocol @filters drop; }",
        "}", ""])
