# SPDX-License-Identifier: BSD-3-Clause
"""A switch for a test: started, asked, stopped.

    with Switch(eal=["--vdev", "net_null0"]) as switch:
        switch.ctl("port add p0 dev net_null0")
        switch.wait_for(lambda: switch.port("p0")["rx_packets"] > 0, 5, "no packets")
        switch.stop()

MSH_BUILD names the build, else it is <repository>/build. Nothing here needs pytest."""

import atexit
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

import ctl as ctl_module
from ctl import CtlError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("MSH_BUILD") or ROOT + "/build")
START_TIMEOUT = 30
STOP_TIMEOUT = 15


class StartError(Exception):
    """The switch ended before its socket answered. status: its exit status, negative for a signal; None: timeout."""

    def __init__(self, sentence, status, log):
        super().__init__("%s\n%s" % (sentence, log))
        self.status, self.log = status, log


def wait_for(predicate, timeout=10, message="it did not happen", interval=0.02):
    """What predicate returns as soon as that is true. message: text, or a function that makes it."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("%s within %g s" % (message() if callable(message) else message, timeout))
        time.sleep(interval)


class Switch:
    """lcores   EAL -l; the first controls
    memory   EAL -m, in MB
    huge     take hugepages
    config   boot file: its path, or a list of commands
    eal      more EAL arguments
    socket   path of the control socket, else in .dir
    name     part of the temporary directory's name, for people"""

    live = []

    def __init__(self, lcores="0,1", memory=256, huge=False, config=None, eal=(), socket=None, name=None):
        # Short: the path of a unix socket in it has at most 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="msh-%s-" % name if name else "msh-", dir="/tmp")
        self.file_prefix = os.path.basename(self.dir)
        self.runtime = "%s/dpdk/%s" % (self.dir, self.file_prefix)  # DPDK's own files, its telemetry socket
        self.socket = socket or self.dir + "/ctl"
        self.process, self.ended_log = None, ""
        Switch.live.append(self)
        try:
            if isinstance(config, (list, tuple)):
                config = self.write("boot.conf", "".join(line + "\n" for line in config))
            self.command = [BUILD + "/bin/mshswitch", "-l", lcores] + ([] if huge else ["--no-huge"])
            self.command += ["-m", str(memory), "--no-pci", "--file-prefix=" + self.file_prefix] + list(eal)
            self.command += ["--", "--socket", self.socket] + (["--config", config] if config else [])
            self.start()
        except BaseException:
            self.close()
            raise

    def write(self, name, text):
        """A file in .dir. Returns its path."""
        path = "%s/%s" % (self.dir, name)
        with open(path, "w") as stream:
            stream.write(text)
        return path

    def start(self):
        """Start the process, again after stop() or kill(), and wait until it answers."""
        environment = dict(os.environ, RUNTIME_DIRECTORY=self.dir)
        # Safe from Ctrl-C by a process group. A session of its own would be one more autogroup of the scheduler,
        # and one group can starve another on a core that both load.
        with open(self.dir + "/log", "a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, process_group=0)
        end = time.monotonic() + START_TIMEOUT
        while not self.answers():
            status = self.process.poll()
            if status is not None:
                raise StartError("`%s` ended with %d" % (shlex.join(self.command), status), status, self.log())
            if time.monotonic() > end:
                raise StartError("no answer after %d s: %s" % (START_TIMEOUT, shlex.join(self.command)), None, self.log())
            time.sleep(0.02)

    def answers(self):
        try:
            return self.ctl_raw("version", timeout=2)["status"] == "OK"
        except CtlError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def ctl_raw(self, command, timeout=10):
        """The whole answer."""
        return ctl_module.ctl(self.socket, command, timeout)

    def ctl(self, command, timeout=10):
        """The data of the answer, or its text when it has none. Anything but OK is a CtlError."""
        answer = self.ctl_raw(command, timeout)
        if answer["status"] != "OK":
            raise CtlError(answer["status"], answer.get("text", ""), command)
        return answer["data"] if "data" in answer else answer.get("text", "")

    def port(self, name):
        """`port show NAME` as a dict."""
        return only(self.ctl("port show " + name))

    def drops(self, port=None):
        """`drop show [PORT]` as a dict."""
        return only(self.ctl("drop show" + (" " + port if port else "")))

    wait_for = staticmethod(wait_for)

    def log(self):
        """What the process has said, also after close()."""
        try:
            with open(self.dir + "/log", errors="replace") as stream:
                return stream.read()
        except FileNotFoundError:
            return self.ended_log

    def stop(self):
        """End it in order and check that it leaves nothing behind. Returns the log."""
        assert self.running(), "the switch has ended by itself with %s\n%s" % (self.process.poll(), self.log())
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("no end %d s after SIGTERM\n%s" % (STOP_TIMEOUT, self.log())) from None
        assert status == 0, "exit status %d\n%s" % (status, self.log())
        assert not os.path.lexists(self.socket), self.socket + " is left over"
        return self.log()

    def kill(self):
        """As a crash: SIGKILL."""
        if self.running():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def close(self):
        """Whatever state it is in: no process, no file remains."""
        self.kill()
        self.ended_log = self.log()
        if os.path.dirname(self.socket) != self.dir and os.path.lexists(self.socket) and not self.answers():
            os.unlink(self.socket)
        shutil.rmtree(self.dir, ignore_errors=True)
        if self in Switch.live:
            Switch.live.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def only(data):
    """A command about one thing answers with that thing, or a list of one."""
    if isinstance(data, list):
        assert len(data) == 1, data
        return data[0]
    return data


@atexit.register
def close_all():
    for switch in list(Switch.live):
        switch.close()
