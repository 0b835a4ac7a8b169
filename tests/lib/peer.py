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


class Peer:
    """device: more arguments of the device, as "packed_vq=1"; arguments: more of testpmd; eal: more of EAL"""

    def __init__(self, path, mac, server=False, device="", arguments=(), eal=()):
        if server and os.path.exists(path):
            os.unlink(path)  # of one that was killed
        self.directory = tempfile.TemporaryDirectory(prefix="msh-peer-", dir="/tmp")
        name = os.path.basename(self.directory.name)
        devargs = "net_virtio_user0,path=%s,mac=%s,server=%d,queue_size=256,mrg_rxbuf=1%s" % (
            path, mac, server, "," + device if device else "")
        command = ["dpdk-testpmd", "--lcores", LCORES, "--no-huge", "-m", "200", "--no-pci", "--file-prefix=" + name,
                   "--vdev", devargs, *eal, "--", "-i", "--total-num-mbufs=4096", *arguments]
        self.text, self.output = "", None
        self.process = subprocess.Popen(["stdbuf", "-oL"] + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, process_group=0,
                                        env=dict(os.environ, RUNTIME_DIRECTORY=self.directory.name))
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

    def stats(self):
        """Of the driver: RX-packets, RX-bytes, TX-packets, ..."""
        found = re.findall(r"(\w+-\w+): +(\d+)", self.ask("show port stats 0"))
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
