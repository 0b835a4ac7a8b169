# SPDX-License-Identifier: BSD-3-Clause
"""A virtio-user peer: DPDK's own driver and counters on the other end of a vhost-user socket.

    with Peer("/tmp/msh-x/p.sock", "02:00:00:00:00:01") as peer:
        peer.run("txonly", target="02:00:00:00:00:02")
        ...
        peer.stop()
        peer.stats()["TX-packets"]"""

import os
import re
import select
import subprocess
import tempfile
import time

LCORES = "0@0,1@0"  # beside the switch's worker, not on its core


class Pmd:
    """A testpmd. vdevs: its devices, whose ports are numbered from 0; arguments: more of testpmd; eal: more of EAL;
    within: command to run it in, which has a /run of its own"""

    def __init__(self, vdevs, arguments=(), eal=(), within=(), memory=200):
        self.directory = tempfile.TemporaryDirectory(prefix="msh-peer-", dir="/tmp")
        name = os.path.basename(self.directory.name)
        command = ["dpdk-testpmd", "--lcores", LCORES, "--no-huge", "-m", str(memory), "--no-pci"]
        command += ["--file-prefix=" + name]
        for vdev in vdevs:
            command += ["--vdev", vdev]
        command += [*eal, "--", "-i", "--total-num-mbufs=4096", *arguments]
        self.text, self.output = "", None
        environment = dict(os.environ, RUNTIME_DIRECTORY="/run" if within else self.directory.name)
        self.process = subprocess.Popen(["stdbuf", "-oL", *within, *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
                                        env=environment)
        said = self.expect("testpmd> ", 40)
        assert "Done" in said, "testpmd has no port: " + said[-500:]

    def expect(self, text, timeout=10):
        """Wait for this text; what came before it."""
        end = time.monotonic() + timeout
        while text not in self.text:
            left = end - time.monotonic()
            assert left > 0 and self.process.poll() is None, "no %r from testpmd: %s" % (text, self.text)
            if select.select([self.process.stdout], [], [], left)[0]:
                self.text += os.read(self.process.stdout.fileno(), 1 << 16).decode(errors="replace")
        before, _, self.text = self.text.partition(text)
        return before

    def ask(self, command):
        self.process.stdin.write((command + "\n").encode())
        self.process.stdin.flush()
        return self.expect("testpmd> ")

    def run(self, mode, target=None, sizes="64"):
        """Forward; sizes: bytes of the segments of each packet that txonly makes."""
        self.ask("set fwd " + mode)
        self.ask("set txpkts " + sizes)
        if target:
            self.ask("set eth-peer 0 " + target)
        self.ask("start")

    def stop(self):
        self.ask("stop")

    def stats(self, port=0):
        """Of the driver: RX-packets, RX-bytes, TX-packets, ..."""
        found = re.findall(r"(\w+-\w+): +(\d+)", self.ask("show port stats %d" % port))
        return {name: int(value) for name, value in found}

    def kill(self):
        """As a crash."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.write(b"stop\nquit\n")
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.stdout.close()
        self.directory.cleanup()


class Peer(Pmd):
    """A guest at a vhost-user socket. device: more arguments of the device, as "packed_vq=1" """

    def __init__(self, path, mac, server=False, device="", arguments=(), eal=(), within=()):
        if server and os.path.exists(path):
            os.unlink(path)  # of one that was killed
        super().__init__(["net_virtio_user0,path=%s,mac=%s,server=%d,queue_size=256,mrg_rxbuf=1%s" % (
            path, mac, server, "," + device if device else "")], arguments, eal, within)
