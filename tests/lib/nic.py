# SPDX-License-Identifier: BSD-3-Clause
"""The switch on real PCI devices: in a guest, on two 82576 that QEMU emulates behind an IOMMU. The other end of each
NIC's wire is here.

    with NicGuest("nic") as guest, guest.switch() as switch:
        switch.ctl("port add a dev " + guest.nics[0])
        guest.wires[0].send(frame)
        guest.wires[1].take(1)"""

import contextlib
import glob
import json
import os
import re
import socket
import subprocess
import threading
import time

import inpython
from ctl import CtlError
from guest import Guest, GuestError
from switch import only, wait_for

DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_bond", "net_null", "net_ring")
HUGEPAGES = 128  # of 2 MB


def plugins(names):
    """DPDK's drivers, where its EAL looks for them."""
    run = subprocess.run(["pkg-config", "--variable=libdir", "libdpdk"], capture_output=True, text=True, check=True)
    directory = sorted(glob.glob(run.stdout.strip() + "/dpdk/pmds-*"))[-1]
    version = directory.rpartition("-")[2]
    drivers = ["%s/librte_%s.so.%s" % (directory, name, version) for name in names]
    return drivers + [run.stdout.strip() + "/libgcc_s.so.1"]  # for pthread_cancel


class Wire:
    """What is sent here comes in by the NIC, and what the NIC sends is kept here. A datagram is a frame; whoever sends
    waits for room, so that nothing is lost on the way."""

    def __init__(self, path):
        self.path, self.nic = path, path + ".nic"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.frames, self.changed, self.tap = [], threading.Condition(), None
        threading.Thread(target=self.receive, daemon=True).start()

    def receive(self):
        while True:
            try:
                frame = self.socket.recv(65536)
            except OSError:
                return
            if not frame:
                return
            if self.tap is not None and self.tap(frame):
                continue
            with self.changed:
                self.frames.append(frame)
                self.changed.notify_all()

    def send(self, *frames):
        for frame in frames:
            self.socket.sendto(bytes(frame), self.nic)

    def take(self, count, timeout=10):
        """The next frames; count: exactly so many, none may follow in the next moment."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.frames) >= count, timeout)
            self.changed.wait_for(lambda: len(self.frames) > count, 0.2)
            taken, self.frames = self.frames, []
        assert len(taken) == count, "%d frames, not %d" % (len(taken), count)
        return taken

    def drain(self):
        with self.changed:
            taken, self.frames = self.frames, []
        return taken

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class NicGuest(Guest):
    """nics: PCI addresses of the NICs, in the guest, bound to vfio-pci; wires: their other ends.

    It has one CPU: with two, QEMU 10.0 without KVM loses an interrupt every few minutes, and the guest sleeps on."""

    def __init__(self, name, count=2, build=None):
        build = os.path.abspath(build or os.environ.get("MSH_BUILD", os.path.dirname(__file__) + "/../../build"))
        programs = [build + "/bin/mshswitch", build + "/bin/mshctl", inpython.PROGRAM]
        super().__init__(name, mem=768, build=build, programs=programs, plugins=plugins(DRIVERS) + inpython.PLUGINS,
                         boot=["intel_iommu=on"], sysctls={"vm.nr_hugepages": HUGEPAGES})
        self.count, self.wires, self.nics = count, [], []
        self.changed = set()  # ("link", number) that is down, ("slot", number) that is empty

    def mac(self, number):
        return "52:54:00:00:82:%02x" % number

    def device(self, number):
        return "igb,id=nic%d,bus=slot%d,netdev=wire%d,mac=%s,romfile=" % (number, number, number, self.mac(number))

    def qemu_command(self):
        words = ["-machine", "kernel-irqchip=split", "-device", "intel-iommu,intremap=on,caching-mode=on"]
        for number in range(self.count):
            wire = Wire("%s/wire%d" % (self.directory, number))
            self.wires.append(wire)
            words += ["-device", "pcie-root-port,id=slot%d,chassis=%d,addr=0x%x" % (number, number + 1, 0x10 + number),
                      "-netdev", "dgram,id=wire%d,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s"
                      % (number, wire.nic, wire.path), "-device", self.device(number)]
        return super().qemu_command() + words

    def wait_ready(self, timeout=60):
        super().wait_ready(timeout)
        self.check("chmod 755 / && modprobe -a vfio-pci vfio_iommu_type1 && mkdir -p /dev/hugepages && mount -t hugetlbfs huge /dev/hugepages")
        self.nics = [self.bind(number) for number in range(self.count)]
        return self

    def bind(self, number):
        """Give the NIC to vfio-pci. Returns its address."""
        address = self.check("cd /sys/bus/pci/devices/0000:00:%02x.0 && ls -d *:00.0" % (0x10 + number)).strip()
        self.check("cd /sys/bus/pci/devices/%s && echo vfio-pci > driver_override && echo %s > "
                   "/sys/bus/pci/drivers_probe && [ -e driver/module ]" % (address, address))
        return address

    def link(self, number, up):
        """Pull the cable, or put it in."""
        self.qmp("set_link", name="nic%d" % number, up=up)
        (self.changed.discard if up else self.changed.add)(("link", number))

    def unplug(self, number):
        """Ask the guest to give the NIC back, and take it when it does."""
        self.qmp("device_del", id="nic%d" % number)
        self.changed.add(("slot", number))

    def plug(self, number):
        """Put it back, bound to vfio-pci."""
        def is_free():
            with contextlib.suppress(GuestError):
                return self.qmp("device_add", **dict(word.split("=") for word in ("driver=" + self.device(number)).split(","))) == {}

        wait_for(is_free, 15, "the NIC is still there", 0.2)
        wait_for(lambda: self.run("ls -d /sys/bus/pci/devices/0000:00:%02x.0/*:00.0" % (0x10 + number))[0] == 0, 15,
                 "the guest does not see the NIC", 0.2)
        self.nics[number] = self.bind(number)
        self.changed.discard(("slot", number))

    def restore(self):
        """No switch runs: all NICs in their slots, links up, wires empty."""
        for what, number in sorted(self.changed, reverse=True):
            self.plug(number) if what == "slot" else self.link(number, True)
        for wire in self.wires:
            wire.tap = None
            wire.drain()

    def switch(self, eal=(), lcores="0@0,1@0"):
        return GuestSwitch(self, eal, lcores)

    def close(self):
        super().close()
        for wire in self.wires:
            wire.close()


class GuestSwitch:
    """A switch in a guest."""

    def __init__(self, guest, eal=(), lcores="0@0,1@0"):
        self.guest = guest
        self.job = guest.spawn("exec mshswitch --lcores %s %s" % (lcores, " ".join(eal)))
        try:
            wait_for(self.answers, 60, lambda: "no answer: " + self.job.output())
        except BaseException:
            self.close()
            raise

    def answers(self):
        assert self.job.rc is None, self.job.output()
        return self.guest.run("mshctl version")[0] == 0

    def ctl(self, command, timeout=20):
        """As Switch.ctl."""
        _, output = self.guest.run("mshctl -j -t %d -f - 2> /dev/null" % timeout, timeout + 5, command + "\n")
        assert output, "no answer to `%s`: %s" % (command, self.job.output())
        answer = json.loads(output)
        if not isinstance(answer, dict) or "status" not in answer:
            return answer
        if answer["status"] != "OK":
            raise CtlError(answer["status"], answer.get("text", ""), command)
        return answer.get("text", "")

    def port(self, name):
        return only(self.ctl("port show " + name))

    def wait_state(self, name, state, timeout=10):
        wait_for(lambda: self.port(name)["state"] == state, timeout, lambda: "not %s: %s" % (state, self.port(name)), 0.2)

    def log(self):
        return self.job.output()

    def stop(self):
        """End it in order."""
        status, log = self.job.stop(timeout=20)
        assert status == 0, "exit status %d\n%s" % (status, log)

    def close(self):
        if self.job.rc is None:
            with contextlib.suppress(GuestError):
                self.job.stop(9)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
