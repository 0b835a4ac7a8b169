# SPDX-License-Identifier: BSD-3-Clause
"""The machines of the demo: one switch, five guests, and what runs in them.

                        +- fw  10.1.0.1  10.2.0.1 -+              web1 10.2.0.21
    client 10.1.x.x ----+                          +---- 10.2.0.0/24
                        +- lb  10.1.1.1  10.2.0.2 -+              web2 10.2.0.22

All are ports of one mshswitch. fw routes 10.1.0.0/24, lb has the virtual address of 10.1.1.0/24."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/lib")
from guest import Guest, image  # noqa: E402
from switch import BUILD, Switch  # noqa: E402

NAMES = ("client", "fw", "lb", "web1", "web2")
MACS = {name: "52:54:00:d0:00:%02x" % number for number, name in enumerate(NAMES, 1)}
GOOD, BLOCKED, BLOCKED_PORT = "10.1.0.11", "10.1.0.66", 1900
FW, WEB1, WEB2 = "10.1.0.1", "10.2.0.21", "10.2.0.22"
VIP, LB_CLIENTS = "10.1.1.1", ["10.1.1.%d" % host for host in (11, 12, 13, 14)]
PAGE, PAGE_SIZE = "/page", 4096

# The firewall that does it itself: one lookup and a drop, as early as its kernel has a hook for it.
FW_RULES = """
table ip fw {
    chain early {
        type filter hook prerouting priority raw;
        ip saddr %s counter drop
        udp dport %d counter drop
    }
}""" % (BLOCKED, BLOCKED_PORT)

# The servers count what should never have come, and the connections that they were asked for.
SERVER_RULES = """
table ip seen {
    counter blocked { }
    counter requests { }
    chain in {
        type filter hook prerouting priority raw;
        ip saddr %s counter name blocked drop
        udp dport %d counter name blocked drop
        tcp dport 80 tcp flags & (syn | ack) == syn counter name requests
    }
}""" % (BLOCKED, BLOCKED_PORT)

# Round robin, but a client stays with the server that it was given once.
LB_SERVICE = """
ipvsadm -A -t {vip}:80 -s rr -p 3600
ipvsadm -a -t {vip}:80 -r {web1}:80 -m
ipvsadm -a -t {vip}:80 -r {web2}:80 -m""".format(vip=VIP, web1=WEB1, web2=WEB2)

# In the guest, the whole of the hand-over. The load balancer reads its decisions from IPVS.
FW_HANDOVER = """
msh R F {mac} {ip} && msh A {mac} I 4 s {blocked} && msh A {mac} T 3 d {port} p udp""".format(
    mac=MACS["fw"], ip=FW, blocked=BLOCKED, port=BLOCKED_PORT)
LB_HANDOVER = r"""
ipvsadm -L -n -c --persistent-conn | sed -n 's/^TCP .* \([0-9.]*\):0  *%s:80  *\([0-9.]*\):80.*/\1 \2/p' | sort -u |
    while read -r client server; do
        msh R L %s %s 1 "$client" "$server" || exit
    done""" % (VIP.replace(".", r"\."), MACS["lb"], VIP)
FW_HANDBACK, LB_HANDBACK = "msh X " + MACS["fw"], "msh X " + MACS["lb"]


class Lab:
    """Everything that runs and every file that is made. close() ends all, at any point of its making."""

    def __init__(self):
        self.switch, self.guests, self.regions = None, {}, []

    def __getattr__(self, name):
        try:
            return self.__dict__["guests"][name]
        except KeyError:
            raise AttributeError(name) from None

    @staticmethod
    def prepare():
        """What may take long the first time."""
        image(BUILD)

    def start(self):
        """Start the switch and the guests, which boot then. Not to be interrupted: close() must know of all."""
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise RuntimeError("the demo needs two CPUs: one for the worker of the switch, one for the guests")
        # The worker polls, so it has a CPU of its own. On two CPUs all guests share the one of the control lcore.
        self.guest_cpus = cpus[2:] or cpus[:1]
        self.switch = Switch(lcores="%d,%d" % tuple(cpus[:2]), name="demo")
        subprocess.run(["cc", "-O2", "-static", "-o", self.switch.dir + "/traffic", HERE + "/traffic.c"], check=True)
        for name in NAMES:
            self.switch.ctl("port add %s vhost %s" % (name, self.path(name)))
            region = ""
            if name in ("fw", "lb"):
                self.regions.append("/dev/shm/msh-demo-%d-%s" % (os.getpid(), name))
                region = " region " + self.regions[-1]
            self.switch.ctl("vm add %s port %s mac %s%s" % (name, name, MACS[name], region))
        routes = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.send_redirects": 0,
                  "net.ipv4.conf.default.send_redirects": 0, "net.ipv4.conf.eth0.send_redirects": 0}
        clients = ["%s/24" % ip for ip in [GOOD, BLOCKED] + LB_CLIENTS]
        addresses = {"client": clients, "fw": [FW + "/24", "10.2.0.1/24"], "lb": [VIP + "/24", "10.2.0.2/24"],
                     "web1": [WEB1 + "/24"], "web2": [WEB2 + "/24"]}
        gateways = {"client": FW, "web1": "10.2.0.1", "web2": "10.2.0.1"}
        for name in NAMES:
            box = name in ("fw", "lb")
            self.guests[name] = Guest(
                "demo-" + name, [(self.path(name), MACS[name])], ip="+".join(addresses[name]), build=BUILD,
                region=self.regions[name == "lb"] if box else None, sysctls=routes if box else None,
                gateway=gateways.get(name))
            self.guests[name].start()

    def path(self, name):
        return "%s/%s.sock" % (self.switch.dir, name)

    def configure(self):
        """What the guests do before anything is handed over."""
        for guest in self.guests.values():
            guest.wait_ready(120)
        for guest in self.guests.values():  # not before: booting takes all CPU that there is
            for task in os.listdir("/proc/%d/task" % guest.process.pid):
                os.sched_setaffinity(int(task), self.guest_cpus)
        for web in (self.web1, self.web2):
            web.check("mkdir /www && head -c %d /dev/zero > /www%s && httpd -p 80 -h /www" % (PAGE_SIZE, PAGE))
            web.check("ip route add 10.1.1.0/24 via 10.2.0.2")
            web.check("nft -f -", stdin=SERVER_RULES)
        self.fw.check("nft -f -", stdin=FW_RULES)
        self.lb.check(LB_SERVICE)
        with open(self.switch.dir + "/traffic", "rb") as stream:
            self.client.write("/bin/traffic", stream.read())
        self.client.check("chmod +x /bin/traffic")

    def flood(self, pps):
        return self.client.spawn("exec traffic flood %d %s %s:80 %s:%d" % (pps, WEB1, BLOCKED, GOOD, BLOCKED_PORT))

    def get(self, rate, server, sources):
        return self.client.spawn("exec traffic get %g %s %s %s" % (rate, PAGE, server, " ".join(sources)))

    def seen(self, web, counter):
        """What a server has counted since it started: "blocked" packets, "requests"."""
        text = self.guests[web].check("nft list counter ip seen " + counter)
        return int(text.split("packets")[1].split()[0])

    def handled(self, name):
        """(dropped, redirected): packets for a guest that the switch has decided about."""
        vm = self.switch.ctl("vm show " + name)
        return vm["dropped"], vm["redirected"]

    def cpu_seconds(self, name):
        """Host CPU that a guest's QEMU has used."""
        with open("/proc/%d/stat" % self.guests[name].process.pid) as stream:
            fields = stream.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        for guest in self.guests.values():  # all at once; close() waits for each
            if guest.process is not None and guest.process.poll() is None:
                guest.process.terminate()
        for guest in self.guests.values():
            guest.close()
        if self.switch is not None:
            self.switch.close()
        for path in self.regions:
            if os.path.exists(path):
                os.unlink(path)
