# SPDX-License-Identifier: BSD-3-Clause
"""The traffic generator, attached to contestants: two ports each."""

import json
import os
import subprocess

from contestants import BUILD, CONTROL, await_end


class Generator:
    """Its ports are those of the contestants, in order. packed: packed in-order rings. ring: packets in a ring. huge: take
    hugepages."""

    def __init__(self, contestants, directory, packed=False, ring=256, huge=True):
        devices, namespaces = [], []
        self.first_last = []  # port of each contestant
        rest = {"virtio_user": ",queues=1,queue_size=%d,mac=%%s%s" % (
            ring, ",packed_vq=1,in_order=1" if packed else "")}
        for contestant in contestants:
            self.first_last.append((len(devices), len(devices) + len(contestant.ports) - 1))
            for mac, port in zip(contestant.macs(), contestant.ports):
                number = len(devices)
                more = rest[contestant.driver] % mac if contestant.driver in rest else ""
                devices.append("--vdev=%s%d,%s%s" % (contestant.driver, number, port, more))
            namespaces += [contestant.namespace] if contestant.namespace else []
        assert len(namespaces) <= 1, "the generator is in one namespace"
        command = ["nsenter", "--net=/run/netns/" + namespaces[0]] if namespaces else []
        command += [BUILD + "/bench/msh-generator", "-l", str(CONTROL), "--no-pci", "--log-level=error"]
        command += ["-m", "512", "--in-memory", "--single-file-segments"] if huge else ["-m", "256", "--no-huge"]
        command += ["--file-prefix=generator-" + os.path.basename(directory)] + devices + ["--"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, RUNTIME_DIRECTORY=directory), process_group=0)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the generator ended with %s" % self.process.wait())
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError("the generator: " + answer["error"])
        return answer

    def begin(self, contestant, both=False, **words):
        """A run through contestants[contestant]; words are those of the generator, see generator/main.c. read() has its
        result."""
        first, last = self.first_last[contestant]
        routes = "%d:%d" % (first, last) + (",%d:%d" % (last, first) if both else "")
        words = ["routes=" + routes] + ["%s=%s" % (name, one) for name, value in words.items()
                                        for one in (value if isinstance(value, list) else [value])]
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def run(self, *contestant, **words):
        self.begin(*contestant, **words)
        return self.read()

    def stop(self):
        self.process.stdin.close()
        await_end(self.process)
