# SPDX-License-Identifier: BSD-3-Clause
"""Real guests under QEMU, for tests and demos: the image of guest/image, an agent in it that runs commands.

    with Guest("fw", netdevs=[("/run/msh/fw.sock", "52:54:00:00:00:01")], region="/dev/shm/fw", ip="10.0.0.1/24") as fw:
        print(fw.check("msh --info"))

Several at once: start() each, then wait_ready() each. Nothing here needs pytest."""

import atexit
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REGION_SIZE = 1 << 20  # MSH_WIRE_SIZE_DEFAULT
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
AGENT_PORT = "mshswitch.agent"


class GuestError(Exception):
    pass


def have_kvm():
    """A /dev/kvm alone says little: under another hypervisor it may be there and hang."""
    with open("/proc/cpuinfo") as stream:
        flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", stream.read(), re.M)
    return bool(flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)


@functools.lru_cache(maxsize=None)
def image(build, programs=(), plugins=()):
    """(kernel, initrd) of the test guest, made if need be. programs: more of the host's, by name or path; plugins:
    libraries that they load by themselves."""
    command = [ROOT + "/guest/image/build", "--build", build]
    for name in programs:
        command += ["--add", name]
    for path in plugins:
        command += ["--plugin", path]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise GuestError(run.stderr.strip())
    return tuple(run.stdout.split())


class Job:
    """A command in a guest. Made by Guest.spawn."""

    def __init__(self, guest, number, command):
        self.guest, self.number, self.command = guest, number, command
        self.rc = None  # once it has ended: exit code, 128 + signal, 124: timeout
        self.changed = threading.Condition()
        self.data = bytearray()

    def wait(self, timeout=None):
        """(rc, output) when the command has ended."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.rc is not None or self.guest.failure, timeout):
                raise GuestError("%s: no end of `%s` within %s s" % (self.guest.name, self.command, timeout))
            if self.rc is None:
                raise GuestError("%s: %s, during `%s`" % (self.guest.name, self.guest.failure, self.command))
            return self.rc, self.output()

    def output(self):
        """What it has printed so far, stdout and stderr."""
        return bytes(self.data).decode(errors="replace")

    def lines(self, timeout=None):
        """Each line as it comes, to the command's end. timeout: seconds to wait for one."""
        start = 0
        while True:
            with self.changed:
                more = lambda: self.data.find(b"\n", start) >= 0 or self.rc is not None or self.guest.failure
                if not self.changed.wait_for(more, timeout):
                    raise GuestError("%s: no line of `%s` within %s s" % (self.guest.name, self.command, timeout))
                end = self.data.find(b"\n", start)
                if end < 0:
                    return
                line = self.data[start:end].decode(errors="replace")
            start = end + 1
            yield line

    def samples(self):
        """The samples so far, of a command that Guest.sample started."""
        return [json.loads(line) for line in self.output().rpartition("\n")[0].splitlines()]

    def stop(self, signal=15, timeout=10):
        """Signal the command and what it started; (rc, output)."""
        if self.rc is None:
            self.guest._send(b"KILL %d %d\n" % (self.number, signal))
        return self.wait(timeout)


class Guest:
    """A guest that runs from start() to close().

    name      its host name, and part of the names of its files
    netdevs   (vhost-user socket, MAC) of eth0, eth1, ...
    server    QEMU listens on those sockets (the switch connects); else it connects, again and again
    queues    queue pairs of each interface
    net_options  more properties of each virtio-net-pci, as "packed=on"
    region    file of its ivshmem region, made if it is not there; None: no such device
    ip        "10.0.0.1/24" of eth0, or a list for eth0, eth1, ... (None: no address)
    gateway   of the default route
    sysctls   {"net.ipv4.ip_forward": 1}
    mem       MB
    cpus      virtual CPUs
    nodes     NUMA nodes, over which CPUs and memory are spread; with more than one, none of its memory is shared
    affinity  host CPUs that it may use, as "1" or "2,3"; None: any
    programs  of the host, to have in the guest besides those of the image
    plugins   libraries that these load by themselves
    boot      more words of the kernel's command line
    build     meson's build directory
    arguments more words for QEMU, as ["-incoming", "defer"]"""

    live = set()

    def __init__(self, name, netdevs=(), region=None, ip=None, gateway=None, mem=256, cpus=1, nodes=1, server=False, queues=1,
                 net_options="", sysctls=None, affinity=None, programs=(), plugins=(), boot=(), build=None,
                 arguments=()):
        self.name, self.netdevs, self.region, self.server = name, list(netdevs), region, server
        self.ips = [ip] if isinstance(ip, str) or ip is None else list(ip)
        self.gateway, self.sysctls, self.mem, self.cpus, self.nodes = gateway, dict(sysctls or {}), mem, cpus, nodes
        self.queues, self.net_options, self.affinity = queues, net_options, affinity
        self.programs, self.plugins = tuple(programs), tuple(plugins)
        self.boot, self.arguments = list(boot), list(arguments)
        self.build = os.path.abspath(build or os.environ.get("MSH_BUILD", ROOT + "/build"))
        self.directory = self.process = self.socket = None
        self.failure = None  # why no command can run any more
        self.boot_seconds = None
        self.jobs, self.next_job, self.lock = {}, 1, threading.Lock()

    # --- the machine

    def kernel_command_line(self):
        words = ["console=ttyS0", "quiet", "mitigations=off", "panic=-1", "nowatchdog", "msh.name=" + self.name]
        if any(self.ips):
            words.append("msh.ip=" + ",".join(ip or "-" for ip in self.ips))
        if self.gateway:
            words.append("msh.gw=" + self.gateway)
        if self.sysctls:
            words.append("msh.sysctl=" + ",".join("%s=%s" % item for item in self.sysctls.items()))
        return " ".join(words + self.boot)

    def qemu_command(self):
        """The line that starts this guest, as a list of words."""
        directory = self.directory or "/tmp/msh-" + self.name
        kernel, initrd = image(self.build, self.programs, self.plugins)
        kvm = have_kvm()
        words = ["taskset", "-c", str(self.affinity)] if self.affinity is not None else []
        words += [QEMU, "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                  "-machine", "q35", "-accel", "kvm" if kvm else "tcg",
                  "-cpu", "host" if kvm else "Nehalem", "-smp", str(self.cpus), "-m", "%dM" % self.mem,
                  *self.memory_arguments(), "-kernel", kernel, "-initrd", initrd, "-append", self.kernel_command_line(),
                  "-chardev", "socket,id=console,path=%s/console,server=on,wait=off,logfile=%s/console.log"
                  % (directory, directory), "-serial", "chardev:console",
                  "-chardev", "socket,id=monitor,path=%s/qmp,server=on,wait=off" % directory,
                  "-mon", "chardev=monitor,mode=control",
                  "-chardev", "socket,id=agent,path=%s/agent,server=on,wait=off" % directory,
                  "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=" + AGENT_PORT]
        for number, (path, mac) in enumerate(self.netdevs):
            words += self.net_arguments(number, path, mac)
        if self.region:
            size = os.stat(self.region).st_size if os.path.exists(self.region) else REGION_SIZE
            words += ["-object", "memory-backend-file,id=region,share=on,mem-path=%s,size=%d" % (self.region, size),
                      # master: the device does not stand in the way of live migration.
                      "-device", "ivshmem-plain,memdev=region,master=on"]
        return words + self.arguments

    def memory_arguments(self):
        if self.nodes == 1:  # vhost-user: the switch maps it
            return ["-object", "memory-backend-memfd,id=mem,share=on,size=%dM" % self.mem, "-machine", "memory-backend=mem"]
        words = []
        for node in range(self.nodes):
            first, end = self.cpus * node // self.nodes, self.cpus * (node + 1) // self.nodes
            words += ["-object", "memory-backend-ram,id=mem%d,size=%dM" % (node, self.mem // self.nodes),
                      "-numa", "node,memdev=mem%d,cpus=%d-%d" % (node, first, end - 1)]
        return words

    def net_arguments(self, number, path, mac):
        mode = "server=on,wait=off" if self.server else "reconnect-ms=500"
        device = "virtio-net-pci,netdev=net%d,mac=%s,romfile=" % (number, mac)
        if self.queues > 1:
            device += ",mq=on,vectors=%d" % (2 * self.queues + 2)
        if self.net_options:
            device += "," + self.net_options
        return ["-chardev", "socket,id=vhost%d,path=%s,%s" % (number, path, mode),
                "-netdev", "vhost-user,id=net%d,chardev=vhost%d,queues=%d" % (number, number, self.queues),
                "-device", device]

    def start(self):
        """Start QEMU. Returns the guest, which has yet to boot: wait_ready()."""
        self.directory = tempfile.mkdtemp(prefix="msh-%s-" % self.name)
        Guest.live.add(self)
        try:
            with open(self.directory + "/qemu.log", "wb") as log:
                self.started = time.monotonic()
                self.process = subprocess.Popen(self.qemu_command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                process_group=0)
        except BaseException:
            self.close()
            raise
        return self

    def log(self, name="console", size=2000):
        """The end of a log: "console", or "qemu" for QEMU's own messages."""
        try:
            with open("%s/%s.log" % (self.directory, name), "rb") as stream:
                return stream.read()[-size:].decode(errors="replace")
        except (OSError, TypeError):
            return ""

    def fail(self, what):
        raise GuestError("%s: %s\n%s%s" % (self.name, what, self.log("qemu"), self.log("console")))

    def close(self):
        """End the guest and remove its files; the region and the sockets of the switch stay."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.lose("the guest was closed")
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        Guest.live.discard(self)

    def __enter__(self):
        if self.process is None:
            self.start()
        try:
            return self.wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # --- the agent

    def wait_ready(self, timeout=60):
        """Wait until the guest runs commands. Returns the guest; boot_seconds is what it took."""
        deadline = self.started + timeout
        while self.socket is None:
            try:
                agent = socket.socket(socket.AF_UNIX)
                agent.connect(self.directory + "/agent")
                self.socket = agent
            except OSError:
                agent.close()
                self.check_alive(deadline)
                time.sleep(0.02)
        # Whoever was connected before us may have left half a frame on the way.
        token = b"SYNC %d.%d\n" % (os.getpid(), time.monotonic_ns())
        self.socket.sendall(token)
        self.socket.settimeout(0.2)
        seen = b""
        while token not in seen:
            try:
                data = self.socket.recv(65536)
                seen += data
            except TimeoutError:
                data = b"?"
            if not data:
                time.sleep(0.1)
            self.check_alive(deadline)
        self.socket.settimeout(None)
        self.boot_seconds = time.monotonic() - self.started
        threading.Thread(target=self.receive, args=(seen.partition(token)[2],), daemon=True).start()
        return self

    def check_alive(self, deadline):
        if self.process.poll() is not None:
            self.fail("QEMU ended with %d" % self.process.returncode)
        if time.monotonic() > deadline:
            self.fail("not ready in time")

    def receive(self, data):
        """Thread: hand what the agent sends to its jobs."""
        stream = self.socket.makefile("rb")
        agent = self.socket
        try:
            buffered = bytearray(data)

            def take(size):
                while len(buffered) < size:
                    more = stream.read1(65536)
                    if not more:
                        raise EOFError
                    buffered.extend(more)
                taken = bytes(buffered[:size])
                del buffered[:size]
                return taken

            def take_line():
                line = b""
                while not line.endswith(b"\n"):
                    line += take(1)
                return line.split()

            while True:
                kind, number, value = take_line()
                job = self.jobs.get(int(number))
                text = take(int(value)) if kind == b"OUT" else b""
                if job is None:
                    continue
                with job.changed:
                    job.data += text
                    if kind == b"END":
                        job.rc = int(value)
                        del self.jobs[job.number]
                    job.changed.notify_all()
        except (OSError, EOFError, ValueError) as error:
            if agent is self.socket:
                self.lose("the connection to its agent is lost (%s)" % (error or type(error).__name__))
        finally:
            stream.close()

    def lose(self, why):
        self.failure = self.failure or why
        for job in list(self.jobs.values()):
            with job.changed:
                job.changed.notify_all()

    def _send(self, data):
        with self.lock:
            try:
                self.socket.sendall(data)
            except (OSError, AttributeError):
                self.fail(self.failure or "its agent cannot be reached")

    def spawn(self, command, timeout=0, stdin=b""):
        """Start a shell command. timeout: seconds after which the guest kills it, 0: never. Returns a Job."""
        script = command.encode()
        stdin = stdin.encode() if isinstance(stdin, str) else bytes(stdin)
        with self.lock:
            job = Job(self, self.next_job, command)
            self.next_job += 1
            self.jobs[job.number] = job
        self._send(b"RUN %d %d %d %d\n" % (job.number, int(timeout * 1000), len(script), len(stdin)) + script + stdin)
        return job

    def run(self, command, timeout=30, stdin=b""):
        """(rc, output) of a shell command; rc 124: it was killed after `timeout` seconds. What it leaves in the
        background (`iperf3 -s &`) runs on, and is not waited for."""
        # The guest's clock is the one that counts; ours is for a guest that hangs.
        return self.spawn(command, timeout, stdin).wait(timeout + 15)

    def check(self, command, timeout=30, stdin=b""):
        """Output of a command that must succeed."""
        rc, output = self.run(command, timeout, stdin)
        if rc:
            raise GuestError("%s: `%s` gave %d: %s" % (self.name, command, rc, output.strip()))
        return output

    def write(self, path, data):
        """Make a file in the guest."""
        self.check("cat > '%s'" % path, stdin=data)

    def sample(self, seconds=1):
        """A Job that prints counters of the guest as JSON, a line each `seconds`: CPU, interrupts, packets."""
        return self.spawn("exec msh-sample %g" % seconds)

    def qmp(self, command, **arguments):
        """Ask QEMU itself (its QMP reference manual): "query-status", "migrate", "stop", ..."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(30)
            monitor.connect(self.directory + "/qmp")
            stream = monitor.makefile("rw")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                reply = {}
                while "return" not in reply and "error" not in reply:
                    line = stream.readline()
                    if not line:
                        self.fail("QEMU closed its monitor during " + command)
                    reply = json.loads(line)
                if "error" in reply:
                    raise GuestError("%s: %s: %s" % (self.name, command, reply["error"]["desc"]))
            return reply["return"]


@atexit.register
def close_all():
    for guest in list(Guest.live):
        guest.close()
