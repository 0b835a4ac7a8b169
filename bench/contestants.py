# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: each joins two ports of the generator, or one and a device of its own, by one worker on core WORKER.
A contestant is a class with

    name                    as reports call it
    start(directory)        makes the processes; the ports' sockets are there when it returns
    ports                   their devices for the generator, as DPDK --vdev without the name and MAC
    driver                  of these devices
    namespace               of the network that they are in, or None
    frame_max               bytes with FCS of the longest frame that it takes
    filters                 whether it can drop what the rules (rules.RuleSet, or None) that it is made with say
    pids()                  what SIGSTOP and SIGCONT hold and let go
    cycles()                (busy TSC cycles, packets) so far, or None
    stop()"""

import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "lib"))
import rules as rule_sets  # noqa: E402
from frontend import Frontend  # noqa: E402
from switch import BUILD, Switch, wait_for  # noqa: E402, F401

CONTROL, WORKER = 0, 1  # cores: that of the generator too, and that of the contestants' loops
MEMORY_MB = 256
NIC_MAC = "52:54:00:00:02:00"
PORT_MAC = "52:54:00:00:00:%02x"  # of the generator's virtio ports: 16 and so on


def await_end(process):
    """Of one that has been told to."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Contestant:
    def __init__(self, rules=None, device=None):
        """device: one that DPDK makes, in place of the second guest; only with those that say so."""
        self.processes, self.ports, self.rules, self.device = [], [], rules, device
        self.guests = "a" if device else "ab"

    program = None  # that it needs; None: always there
    driver, namespace, frame_max, filters, connects = "virtio_user", None, 9018, False, False
    index = 0  # among those at one generator

    def macs(self):
        """Of its two ports at the generator."""
        return [PORT_MAC % (16 + 2 * self.index + port) for port in range(2)]

    @classmethod
    def is_there(cls):
        return cls.program is None or shutil.which(cls.program) is not None or os.path.exists(cls.program)

    def spawn(self, command, **keywords):
        self.processes.append(subprocess.Popen(command, process_group=0, **keywords))
        return self.processes[-1]

    def pids(self):
        return [process.pid for process in self.processes if process.poll() is None]

    def hold(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def let_go(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def cycles(self):
        return None

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                await_end(process)
        self.processes = []


class Mshswitch(Contestant):
    """Its ports are VMs'; or the second is a device, behind which is NIC_MAC."""

    name = "mshswitch"
    filters = True
    switch = None
    vhost_options = ""

    def start(self, directory):
        self.switch = Switch(lcores="%d,%d" % (CONTROL, WORKER), memory=MEMORY_MB, huge=True,
                             eal=["--in-memory"], name="bench")
        for mac, port in zip(self.macs(), self.guests):
            path = "%s/%s" % (self.switch.dir, port)
            self.switch.ctl("port add %s vhost %s%s" % (port, path, self.vhost_options))
            self.switch.ctl("vm add %s port %s mac %s" % (port, port, mac))
            self.ports.append("path=" + path)
        if self.device:
            self.switch.ctl("port add nic dev " + self.device)
            self.switch.ctl("fdb add %s nic" % NIC_MAC)
        for command in rule_sets.commands(self.rules, self.macs()[1]) if self.rules else ():
            self.switch.ctl(command)

    def pids(self):
        return [self.switch.pid] if self.switch and self.switch.running() else []

    def cycles(self):
        workers = self.switch.ctl("worker show")
        return sum(w["busy_cycles"] for w in workers), sum(w["packets"] for w in workers)

    def dropped(self):
        return self.switch.port("nic")["dropped"]

    def stop(self):
        self.let_go()
        if self.switch:
            self.switch.close()


class Crowded(Mshswitch):
    """With so many more guests, attached and silent."""

    more = 254
    name = "mshswitch with %d more guests" % more

    def start(self, directory):
        super().start(directory)
        self.silent = []
        for number in range(self.more):
            path = "%s/idle%d" % (self.switch.dir, number)
            self.switch.ctl("port add idle%d vhost %s" % (number, path))
            self.switch.ctl("vm add idle%d port idle%d mac 52:54:00:01:00:%02x" % (number, number, number))
            self.silent.append(Frontend(path))
            self.silent[-1].enable()
        wait_for(lambda: all(row["state"] == "up" for row in self.switch.ctl("port show")
                             if row["port"].startswith("idle")), 20, "not all guests are attached")

    def stop(self):
        super().stop()
        for guest in getattr(self, "silent", ()):
            guest.close()


class Testpmd(Contestant):
    """DPDK's own forwarder: `io` touches no packet, `mac` rewrites the MACs. The second port may be a device."""

    mode, program = "io", "dpdk-testpmd"

    @property
    def name(self):
        return "testpmd " + self.mode

    def start(self, directory):
        paths = ["%s/testpmd-%s-%s" % (directory, self.mode, port) for port in self.guests]
        vdevs = ["--vdev=net_vhost%d,iface=%s" % item for item in enumerate(paths)]
        vdevs += ["--vdev=" + self.device] if self.device else []
        self.process = self.spawn(
            ["stdbuf", "-oL", "dpdk-testpmd", "-l", "%d,%d" % (CONTROL, WORKER), "-m", str(MEMORY_MB), "--in-memory", "--no-pci",
             "--file-prefix=testpmd-" + os.path.basename(directory)] + vdevs +
            ["--log-level=error", "--", "-i", "--forward-mode=" + self.mode, "--record-core-cycles", "--no-lsc-interrupt"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
            env=dict(os.environ, RUNTIME_DIRECTORY=directory))
        self.ask("start")
        self.ports = ["path=" + path for path in paths]

    def ask(self, command):
        """Its answer ends where it complains about a word that it does not know: it has no other mark."""
        self.process.stdin.write((command + "\nend\n").encode())
        said = b""
        while b"Command not found" not in said:
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise RuntimeError("testpmd ended:\n" + said.decode(errors="replace"))
            said += part
        return said.decode(errors="replace")

    def cycles(self):
        found = re.search(r"total cycles=(\d+) / total \w+ packets=(\d+)", self.ask("show fwd stats all"))
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def dropped(self):
        return int(re.findall(r"TX-dropped: (\d+)", self.ask("show fwd stats all"))[-1])  # the last is of all ports


class TestpmdMac(Testpmd):
    mode = "mac"


class Ovs(Contestant):
    """Open vSwitch on DPDK with its NORMAL action; its own database and directory."""

    name = "OVS-DPDK"
    program = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    filters = True
    settings = ()

    def start(self, directory):
        self.dir = directory + "/ovs"
        os.mkdir(self.dir)
        self.env = dict(os.environ, OVS_RUNDIR=self.dir, OVS_LOGDIR=self.dir, OVS_DBDIR=self.dir,
                        RUNTIME_DIRECTORY=self.dir)
        database = self.dir + "/conf.db"
        self.db = "unix:%s/db.sock" % self.dir
        subprocess.run(["ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"], check=True)
        quiet = {"env": self.env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = self.spawn(["ovsdb-server", database, "--remote=p" + self.db, "--unixctl=%s/db.ctl" % self.dir], **quiet)
        wait_for(lambda: os.path.exists(self.dir + "/db.sock") or server.poll() is not None, 10, "no ovsdb-server")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   "other_config:dpdk-socket-mem=512", "other_config:pmd-cpu-mask=%#x" % (1 << WORKER),
                   "other_config:dpdk-lcore-mask=%#x" % (1 << CONTROL),
                   *self.settings, "other_config:dpdk-extra=--no-pci --in-memory --file-prefix=ovs-" + os.path.basename(directory))
        self.vswitchd = self.spawn([self.program, self.db,
                                    "--unixctl=%s/vswitchd.ctl" % self.dir], **quiet)
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for port in ("a", "b"):
            path = "%s/%s" % (self.dir, port)
            kind = ["type=dpdkvhostuserclient", "options:vhost-server-path=" + path] if self.connects \
                else ["type=dpdkvhostuser"]
            self.vsctl("add-port", "br0", port, "--", "set", "Interface", port, *kind, "mtu_request=9000")
            wait_for(lambda: self.connects or os.path.exists(path), 10, "no socket of OVS")
            self.ports.append("path=" + path)
        if self.rules:
            subprocess.run(["ovs-ofctl", "add-flows", "br0", "-"], env=self.env, check=True, text=True,
                           input="\n".join(rule_sets.flows(self.rules)))

    def vsctl(self, *words):
        subprocess.run(["ovs-vsctl", "--timeout=30", "--db=" + self.db, *words], env=self.env, check=True)

    def pids(self):
        return [self.vswitchd.pid]

    def cycles(self):
        said = subprocess.run(["ovs-appctl", "-t", self.dir + "/vswitchd.ctl", "dpif-netdev/pmd-stats-show"],
                              env=self.env, text=True, stdout=subprocess.PIPE, check=True).stdout
        said = said[said.index("pmd thread"):].split("main thread")[0]
        busy = re.search(r"processing cycles: (\d+)", said)
        packets = re.search(r"packets received: (\d+)", said)
        return (int(busy[1]) if busy else 0), (int(packets[1]) if packets else 0)


class LinuxBridge(Contestant):
    """The kernel's bridge in a namespace, between veths whose other ends the generator has by AF_PACKET. What comes
    from the generator is handed to core WORKER (RPS), which does the rest in its soft interrupts."""

    name = "Linux bridge"
    program = "ip"
    driver = "net_af_packet"
    filters = True  # by nftables
    frame_max = 1518  # the rings' slots are of 2 KB: longer ones cost short frames

    def start(self, directory):
        self.namespace = os.path.basename(directory)
        self.ip("netns", "add", self.namespace)
        self.inside("for what in all default; do echo 1 >/proc/sys/net/ipv6/conf/$what/disable_ipv6; done")
        self.ip("-n", self.namespace, "link", "add", "br0", "up", "type", "bridge", "mcast_snooping", "0")
        for port in ("port-a", "port-b"):
            self.ip("-n", self.namespace, "link", "add", "name", port, "type", "veth",
                    "peer", "name", "generator-" + port[-1])
            self.ip("-n", self.namespace, "link", "set", port, "master", "br0", "up")
            self.ip("-n", self.namespace, "link", "set", "generator-" + port[-1], "up")
            self.inside("echo %x >/sys/class/net/%s/queues/rx-0/rps_cpus" % (1 << WORKER, port))
            self.ports.append("iface=generator-%s,qdisc_bypass=1" % port[-1])
        if self.rules:
            self.inside("nft -f -", rule_sets.nftables(self.rules))
        wait_for(lambda: self.inside("cat /sys/class/net/*/brport/state").split() == ["3", "3"], 5,
                 "the bridge does not forward")

    @staticmethod
    def ip(*words, text=None):
        return subprocess.run(["ip", *words], check=True, stdout=subprocess.PIPE, text=True, input=text).stdout

    def inside(self, script, text=None):
        return self.ip("netns", "exec", self.namespace, "sh", "-ec", script, text=text)

    def cycles(self):
        """Of soft interrupts on core WORKER, at 1/100 s, as many TSC cycles as the kernel says are in a second."""
        with open("/proc/stat") as stream:
            ticks = int(re.search(r"cpu%d (.*)" % WORKER, stream.read())[1].split()[6])
        with open("/proc/cpuinfo") as stream:
            hertz = float(re.search(r"bogomips\s*: (.*)", stream.read())[1]) * 1e6 / 2
        packets = self.inside("cat /sys/class/net/port-?/statistics/rx_packets").split()
        return ticks * hertz / os.sysconf("SC_CLK_TCK"), sum(map(int, packets))

    def stop(self):
        if self.namespace:
            subprocess.run(["ip", "netns", "del", self.namespace], check=False)


ALL = [Mshswitch, Testpmd, TestpmdMac, Ovs, LinuxBridge, Crowded]
