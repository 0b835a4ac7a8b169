# SPDX-License-Identifier: BSD-3-Clause
"""Rules and traffic from a rule set in ClassBench's form, one rule a line:

    @SOURCE/BITS DESTINATION/BITS PORT : PORT PORT : PORT PROTOCOL/MASK [FLAGS/MASK]

All of them drop, so that their order is no matter. Flags are left out. Hits are packets drawn from the rules, as many of each;
misses are put together from the same addresses and match none. The same file gives the same of both."""

import collections
import ipaddress
import lzma
import random
import re

LINE = re.compile(r"@(\S+/\d+)\s+(\S+/\d+)\s+(\d+) : (\d+)\s+(\d+) : (\d+)\s+(0x\w+)/(0x\w+)")
TCP, UDP = 6, 17
ANY_PORT = (0, 65535)

# Networks, (first, last) of ports, and a number or None: any.
Rule = collections.namedtuple("Rule", "source destination sports dports proto")


def read(path):
    """All rules, each once; but those for any address to any, which would leave no misses."""
    rules = []
    with (lzma.open if path.endswith(".xz") else open)(path, "rt") as stream:
        for number, line in enumerate(stream):
            found = LINE.match(line)
            if not found:
                raise ValueError("%s:%d is no rule of ClassBench's form" % (path, number + 1))
            source, destination = (ipaddress.ip_network(word, strict=False) for word in found.groups()[:2])
            ports = [int(word) for word in found.groups()[2:6]]
            proto, mask = (int(word, 16) for word in found.groups()[6:])
            rules.append(Rule(source, destination, tuple(ports[:2]), tuple(ports[2:]), proto if mask == 0xff else None))
    return [rule for rule in dict.fromkeys(rules) if rule.source.prefixlen + rule.destination.prefixlen > 0]


def names_ports(rule):
    return (rule.sports, rule.dports) != (ANY_PORT, ANY_PORT)


def protocols(rule):
    """Those that a rule about ports can mean; else what it says."""
    return [TCP, UDP] if rule.proto is None and names_ports(rule) else [rule.proto]


class Index:
    """Which rules a packet matches, without asking each."""

    def __init__(self, rules):
        self.by_source = collections.defaultdict(list)
        for rule in rules:
            self.by_source[rule.source].append(rule)
        self.lengths = {network.prefixlen for network in self.by_source}

    def matches(self, header):
        proto, source, sport, destination, dport = header
        target = ipaddress.ip_address(destination)
        for length in self.lengths:
            network = ipaddress.ip_network((source, length), strict=False)
            for rule in self.by_source.get(network, ()):
                if target in rule.destination and rule.proto in (None, proto) and \
                        rule.sports[0] <= sport <= rule.sports[1] and rule.dports[0] <= dport <= rule.dports[1]:
                    return True
        return False


class RuleSet:
    """rules: [Rule]; hits, misses: [(protocol, source, port, destination, port)]"""

    def __init__(self, path, packets=10000):
        draw, self.rules = random.Random(1), read(path)

        def header(one, two, three):
            """A packet with the source of one rule, the destination of another, and all else of a third."""
            address = [str(network[draw.randrange(network.num_addresses)]) for network in (one.source, two.destination)]
            return (three.proto if three.proto is not None else UDP, address[0], draw.randint(*three.sports), address[1],
                    draw.randint(*three.dports))

        count = max(packets, len(self.rules))
        chosen = [self.rules[number % len(self.rules)] for number in range(count)]
        self.hits = [header(rule, rule, rule) for rule in chosen]
        self.misses, index = [], Index(self.rules)
        for _ in range(100 * packets):
            one = header(*draw.choices(self.rules, k=3))
            if not index.matches(one):
                self.misses.append(one)
            if len(self.misses) == packets:
                break
        if not self.misses:
            raise ValueError("%s: every packet matches" % path)


def write(headers, path):
    """As the generator reads them."""
    with open(path, "w") as stream:
        stream.writelines("%d %s %d %s %d\n" % header for header in headers)


def commands(rules, mac):
    """Of mshswitch: a set of rules of the VM with this MAC, put in force as a whole."""
    lines = ["R F %s 10.0.0.1" % mac, "rule begin " + mac]
    for number, rule in enumerate(rules.rules):
        line = "rule add %s in %d drop from %s to %s" % (mac, number, rule.source, rule.destination)
        for word, ports in (("sport", rule.sports), ("dport", rule.dports)):
            line += " %s %d-%d" % (word, *ports) if ports != ANY_PORT else ""
        lines.append(line + (" proto %d" % rule.proto if rule.proto is not None else ""))
    return lines + ["rule commit " + mac]


def masks(first, last):
    """A range of ports as values with masks, of which OpenFlow has no other."""
    found = []
    while first <= last:
        size = 1
        while first % (2 * size) == 0 and first + 2 * size - 1 <= last:
            size *= 2
        found.append("%#x/%#x" % (first, 0x10000 - size))
        first += size
    return found


def flows(rules):
    """Of OpenFlow."""
    lines = ["priority=0,actions=NORMAL"]
    for rule in rules.rules:
        for proto in protocols(rule):
            head = "priority=10,ip,nw_src=%s,nw_dst=%s" % (rule.source, rule.destination)
            head += ",nw_proto=%d" % proto if proto is not None else ""
            for source in masks(*rule.sports) if rule.sports != ANY_PORT else [None]:
                for target in masks(*rule.dports) if rule.dports != ANY_PORT else [None]:
                    lines.append(head + (",tp_src=" + source if source else "") + (",tp_dst=" + target if target else "") +
                                 ",actions=drop")
    return lines


def nftables(rules):
    """A table for the bridge. Rules overlap, which its sets of ranges do not allow: a chain of them."""
    lines = ["table bridge filters {", " chain forward { type filter hook forward priority 0;"]
    for rule in rules.rules:
        line = "  ip saddr %s ip daddr %s" % (rule.source, rule.destination)
        if names_ports(rule):
            line += " meta l4proto { %s }" % ", ".join(map(str, protocols(rule)))
            line += " th sport %d-%d th dport %d-%d" % (rule.sports + rule.dports)
        elif rule.proto is not None:
            line += " meta l4proto %d" % rule.proto
        lines.append(line + " drop")
    return "\n".join(lines + [" }", "}", ""])
