# SPDX-License-Identifier: BSD-3-Clause
"""Networks for tests of the load balancer: namespaces whose kernels are client, middlebox and backends, each behind a
port of the switch. Their veths compute no checksum for each other: what the switch rewrites is checked by a kernel."""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import select
import socket
import struct
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
# Of ethtool.h: receive and transmit checksums, scatter-gather, TSO, GSO, GRO.
OFFLOADS = [0x15, 0x17, 0x19, 0x1f, 0x24, 0x2c]
TCP_PORT, UDP_PORT = 80, 7
ETH_P_ALL = 3

libc = ctypes.CDLL(None, use_errno=True)


def two_workers(switch):
    """Start it again with two workers, which a machine of two cores has room for when they share one."""
    switch.stop()
    at = switch.command.index("-l")
    switch.command[at:at + 2] = ["--lcores", "0@0,1@0,2@1"]
    switch.start()
    assert len(switch.ctl("worker show")) == 2


def ip(*words, namespace=None):
    command = ["ip"] + (["-n", namespace] if namespace else []) + list(words)
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, "%s: %s" % (" ".join(command), run.stderr)
    return run.stdout


def no_offloads(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), ctypes.addressof(value)))


class Host:
    """A namespace with one interface, eth0, behind a port of the switch of the same name as the host. Its kernel's TTL
    says which host a packet comes from.

    driver   af_packet, af_xdp, or tap in place of a veth: net_af_packet puts IP fragments together before the switch
             sees them
    options  of the device, as in options=",framecnt=4096", with its comma"""

    def __init__(self, switch, name, number, addresses, driver="af_packet", options=""):
        self.switch, self.name, self.ttl = switch, name, 40 + number
        self.mac = "02:00:00:00:00:%02x" % number
        self.namespace = "msh-%d-%s" % (os.getpid(), name)
        self.outside = "m%d%s" % (os.getpid(), name)  # at most 15 bytes
        self.addresses = [a.split("/")[0] for a in addresses]
        self.open = []  # listening sockets
        self.driver, self.options = driver, options
        try:
            self.make(addresses)
        except BaseException:
            self.close()
            raise

    def make(self, addresses):
        ip("netns", "add", self.namespace)
        self.set("ipv6/conf/all/disable_ipv6", 1)
        self.set("ipv6/conf/default/disable_ipv6", 1)
        self.set("ipv4/ip_default_ttl", self.ttl)
        if self.driver != "tap":
            self.make_veth()
        self.attach()
        for address in addresses:
            self.ip("addr", "add", address, "dev", "eth0")
        self.ip("link", "set", "lo", "up")

    def make_veth(self):
        ip("link", "add", self.outside, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        with open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % self.outside, "w") as stream:
            stream.write("1")
        no_offloads(self.outside)
        ip("link", "set", self.outside, "up")
        with self.inside():
            no_offloads("eth0")
        self.up()

    def attach(self):
        """Make the port, also again after its end."""
        self.switch.ctl("port add %s dev net_%s_%s,iface=%s%s" % (
            self.name, self.driver, self.name, self.outside, self.options))
        if self.driver == "tap":
            ip("link", "set", self.outside, "down")
            ip("link", "set", self.outside, "netns", self.namespace, "name", "eth0")
            self.up()
        self.wait_for_port()

    def wait_for_port(self):
        self.switch.wait_for(lambda: self.switch.port(self.name)["state"] == "up", 5,
                             lambda: "not up: %s" % self.switch.port(self.name))

    def up(self):
        self.ip("link", "set", "eth0", "address", self.mac, "up")

    def set(self, name, value):
        """A sysctl of this namespace, as ipv4/ip_forward."""
        with self.inside(), open("/proc/sys/net/" + name, "w") as stream:
            stream.write(str(value))

    def ip(self, *words):
        return ip(*words, namespace=self.namespace)

    @contextlib.contextmanager
    def inside(self):
        """This thread in the namespace: sockets that it makes stay there."""
        with open("/proc/thread-self/ns/net") as before, open("/run/netns/" + self.namespace) as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(before.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def socket(self, *arguments, timeout=5):
        with self.inside():
            made = socket.socket(*arguments)
        made.settimeout(timeout)
        return made

    def capture(self):
        """A raw socket on eth0."""
        made = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        made.bind(("eth0", ETH_P_ALL))
        return made

    def counter(self, group, name):
        """Of this kernel, as Udp InCsumErrors."""
        with self.inside(), open("/proc/thread-self/net/snmp") as stream:
            rows = [line.split() for line in stream if line.startswith(group + ":")]
        return int(rows[1][rows[0].index(name)])

    def serve(self):
        """TCP and UDP servers that say who they are."""
        tcp, udp = self.socket(socket.AF_INET, socket.SOCK_STREAM), self.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("", TCP_PORT))
        tcp.listen(64)
        udp.bind(("", UDP_PORT))
        tcp.settimeout(None)
        udp.settimeout(None)
        self.open += [tcp, udp]
        for run in (self.serve_tcp, self.serve_udp):
            threading.Thread(target=run, args=(tcp if run == self.serve_tcp else udp,), daemon=True).start()

    def serve_tcp(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = listener.accept()
                threading.Thread(target=self.serve_one, args=(connection, peer), daemon=True).start()

    def serve_one(self, connection, peer):
        """Says its name and who asks; then, again and again: takes UP bytes and answers with their hash and DOWN
        bytes."""
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
            stream.write(("%s %s\n" % (self.name, peer[0])).encode())
            stream.flush()
            for line in iter(stream.readline, b""):
                if line.isspace():
                    return  # from a shell that wanted the name only
                up, down = map(int, line.split())
                stream.write(hashlib.sha256(stream.read(up)).hexdigest().encode() + b"\n" + content(down))
                stream.flush()

    def serve_udp(self, server):
        with contextlib.suppress(OSError):
            while True:
                data, peer = server.recvfrom(1 << 16)
                if peer is None:  # shut down
                    return
                server.sendto(self.name.encode() + b" " + data, peer)

    def close(self):
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True)
        subprocess.run(["ip", "link", "del", self.outside], capture_output=True)


def content(size):
    return random.Random(size).randbytes(size)


class Connection:
    """A client's TCP connection to a server of Host.serve."""

    def __init__(self, client, address, port=0, timeout=5):
        self.socket = client.socket(socket.AF_INET, socket.SOCK_STREAM, timeout=timeout)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((client.addresses[0], port))
        try:
            self.socket.connect((address, TCP_PORT))
            self.stream = self.socket.makefile("rwb")
            self.server, self.seen_as = self.stream.readline().decode().split()
        except BaseException:
            self.socket.close()
            raise

    def transfer(self, up, down):
        """Both ways, and what came is what was sent."""
        data = content(up)
        self.stream.write(b"%d %d\n" % (up, down) + data)
        self.stream.flush()
        assert self.stream.readline().decode().strip() == hashlib.sha256(data).hexdigest()
        assert self.stream.read(down) == content(down)

    def close(self):
        with contextlib.suppress(OSError):
            self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def who(client, address, **arguments):
    """Which server answers there."""
    with Connection(client, address, **arguments) as connection:
        assert connection.seen_as == client.addresses[0]
        return connection.server


def udp(client, address, data=b"hello"):
    """Which UDP server answers there; the answer must come from the address that was asked."""
    with client.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((address, UDP_PORT))  # takes nothing from others
        asking.send(data)
        name, _, echo = asking.recv(1 << 16).partition(b" ")
        assert echo == data
        return name.decode()


def ping(client, address, size=56, number=1):
    """TTL of the answer to an echo request, which must come from there and be whole."""
    with client.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as asking:
        asking.connect((address, 0))
        head = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xffff, number)
        request = head + content(size)
        total = sum(struct.unpack("!%dH" % (len(request) // 2), request))
        total = (total & 0xffff) + (total >> 16)
        total = (total & 0xffff) + (total >> 16)
        asking.send(request[:2] + struct.pack("!H", 0xffff - total) + request[4:])
        while True:
            answer = asking.recv(1 << 16)
            icmp = answer[(answer[0] & 15) * 4:]
            if icmp[0] == 0 and icmp[4:8] == request[4:8]:
                assert icmp[8:] == request[8:]
                return answer[8]


def captured(capture, marks, timeout=5):
    """{mark: frame} of the incoming frames that have one of these marks in them, all of which must come, once each."""
    found, end = {}, time.monotonic() + timeout
    while len(found) < len(marks):
        assert select.select([capture], [], [], max(0, end - time.monotonic()))[0], "missing: %s" % (marks - found.keys())
        data, address = capture.recvfrom(1 << 16)
        for mark in marks if address[2] != socket.PACKET_OUTGOING else ():
            if mark in data:
                assert mark not in found
                found[mark] = data
    return found
