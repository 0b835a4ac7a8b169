# SPDX-License-Identifier: BSD-3-Clause
"""Linux' connection tracking as a judge: a namespace that routes between two TUN devices, and writes into the DSCP of
each packet what nf_conntrack says of it. Only with a kernel that has nf_conntrack: Judge.is_possible()."""

import fcntl
import os
import struct
import subprocess

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
VERDICTS = {1: "invalid", 2: "new", 3: "established", 4: "related", 5: "untracked"}
SYSCTLS = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1, "net/ipv4/conf/all/rp_filter": 0,
           "net/ipv4/conf/default/rp_filter": 0, "net/ipv6/conf/default/addr_gen_mode": 1,
           "net/netfilter/nf_conntrack_checksum": 0, "net/netfilter/nf_conntrack_tcp_be_liberal": 0,
           "net/netfilter/nf_conntrack_tcp_loose": 1}


def call(*words, check=True, **options):
    return subprocess.run(words, check=check, capture_output=True, text=True, **options)


class Judge:
    def __init__(self):
        self.namespace = "msh-%d-judge" % os.getpid()
        self.devices = []
        call("ip", "netns", "add", self.namespace)
        try:
            for number in range(2):
                self.add_device("m%dj%d" % (os.getpid(), number))
            for path, value in SYSCTLS.items():
                self.inside("sh", "-c", "echo %d > /proc/sys/%s" % (value, path))
            self.inside("nft", "-f", "-", input=self.rules())
            self.route()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def is_possible():
        return os.path.exists("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal")

    def inside(self, *words, **options):
        return call("ip", "netns", "exec", self.namespace, *words, **options)

    def add_device(self, name):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
        self.devices.append((fd, name))
        call("ip", "link", "set", name, "netns", self.namespace)

    def route(self):
        """All that comes in on one goes out on the other."""
        names = [name for _, name in self.devices]
        for name in names:
            self.inside("ip", "link", "set", name, "mtu", "65535", "up")
        for number, name in enumerate(names):
            for family in ("-4", "-6"):
                self.inside("ip", family, "rule", "add", "dev", name, "lookup", str(100 + number))
                self.inside("ip", family, "route", "add", "default", "dev", names[1 - number], "table", str(100 + number))

    @staticmethod
    def rules():
        """nftables: the verdict becomes the DSCP, and nothing is sent that did not come in."""
        lines = ["table inet judge {", "chain look { type filter hook prerouting priority 0;"]
        for value, state in VERDICTS.items():
            lines += ["ct state %s ip dscp set %d accept" % (state, value),
                      "ct state %s ip6 dscp set %d accept" % (state, value)]
        lines += ["}", "chain out { type filter hook output priority 0; policy drop; }", "}"]
        return "\n".join(lines) + "\n"

    def ask(self, packet, side):
        """What Linux says of an IP packet that comes in on this side, 0 or 1; None: it did not come out."""
        os.write(self.devices[side][0], packet)
        try:
            out = os.read(self.devices[1 - side][0], 65536)
        except BlockingIOError:
            return None
        tos = out[1] if out[0] >> 4 == 4 else (out[0] << 4 | out[1] >> 4) & 255
        return VERDICTS[tos >> 2]

    def close(self):
        for fd, _ in self.devices:
            os.close(fd)
        call("ip", "netns", "del", self.namespace, check=False)
