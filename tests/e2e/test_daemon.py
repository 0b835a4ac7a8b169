# SPDX-License-Identifier: BSD-3-Clause
"""The daemon and its client as an operator meets them: start, stop, sockets, scripts, prompt."""

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from ctl import Ctl, CtlError
from switch import BUILD, wait_for

MSHCTL, MSHSWITCH = BUILD + "/bin/mshctl", BUILD + "/bin/mshswitch"
PAGES = "/proc/sys/vm/nr_hugepages"


def mshctl(switch, *words, stdin=None):
    """(exit status, stdout, stderr)"""
    run = subprocess.run([MSHCTL, "-s", switch.socket, *words], capture_output=True, text=True, input=stdin, timeout=20)
    return run.returncode, run.stdout, run.stderr


@pytest.fixture
def hugepages():
    """Enough of them for a switch."""
    with open(PAGES) as stream:
        before = stream.read()
    for _ in range(10):  # memory has to be compacted for them
        with open(PAGES, "w") as stream:
            stream.write("160")
        with open(PAGES) as stream:
            if stream.read().strip() == "160":
                break
        time.sleep(0.2)
    yield
    with open(PAGES, "w") as stream:
        stream.write(before)


@pytest.mark.parametrize("program", [MSHSWITCH, MSHCTL])
def test_help_and_version(program):
    usage = subprocess.run([program, "--help"], capture_output=True, text=True)
    assert usage.returncode == 0 and usage.stdout.startswith("usage: ") and usage.stderr == ""
    version = subprocess.run([program, "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and re.fullmatch(r"%s \d+\.\d+\.\d+\n" % os.path.basename(program), version.stdout)
    wrong = subprocess.run([program, "--", "--nonsense"] if program == MSHSWITCH else [program, "--nonsense"],
                           capture_output=True, text=True)
    assert wrong.returncode == 1 and "--help" in wrong.stderr


@pytest.mark.asan
def test_stop_removes_sockets(switch):
    paths = [switch.socket] + ["%s/%s.sock" % (switch.dir, name) for name in "ab"]
    for name in "ab":
        switch.ctl("port add %s vhost %s/%s.sock" % (name, switch.dir, name))
    assert stat.S_IMODE(os.stat(switch.socket).st_mode) == 0o660
    assert all(os.path.exists(path) for path in paths)
    switch.stop()
    assert not any(os.path.exists(path) for path in paths)


def test_interrupt_stops_too(switch_factory):
    switch = switch_factory()
    switch.process.send_signal(signal.SIGINT)
    assert switch.process.wait(10) == 0 and not os.path.exists(switch.socket)


def test_socket_in_use(switch, switch_factory):
    run = subprocess.run([MSHSWITCH, "-l", "0,1", "--no-huge", "-m", "256", "--no-pci", "--file-prefix=" + switch.file_prefix + "-2", "--",
                          "--socket", switch.socket], capture_output=True, text=True, timeout=30)
    assert run.returncode == 1 and "socket %s is in use" % switch.socket in run.stderr.splitlines()[-1]
    assert switch.answers()
    path = "%s/p.sock" % switch.dir
    switch.ctl("port add p vhost " + path)
    other = switch_factory()
    answer = other.ctl_raw("port add p vhost " + path)
    assert answer["status"] == "FAILED" and path in answer["text"] and "in use" in answer["text"]


def test_crash_leaves_no_obstacle(switch):
    """After SIGKILL the sockets are still there, and the next start takes their places."""
    switch.ctl("port add p vhost %s/p.sock" % switch.dir)
    switch.command += ["--config", switch.write("saved", switch.ctl("save"))]
    switch.kill()
    assert os.path.exists(switch.socket) and os.path.exists(switch.dir + "/p.sock")
    switch.start()
    assert switch.port("p")["port"] == "p"


def test_two_side_by_side(switch_factory):
    first, second = switch_factory(), switch_factory()
    for switch in (first, second):
        switch.ctl("port add p vhost %s/p.sock" % switch.dir)
    first.stop()
    assert second.port("p")["port"] == "p"


@pytest.mark.parametrize("word", ["0", "1023", "268435457", "many", "-5", "1e6"])
def test_flows_out_of_range(switch, word):
    run = subprocess.run([MSHSWITCH, "-l", "0,1", "--", "--flows=" + word], capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert run.stderr == "mshswitch: --flows '%s' is no number from 1024 to 268435456\n" % word


@pytest.mark.parametrize("eal", [["--in-memory"], []], ids=["in-memory", "hugetlbfs"])
def test_hugepages(switch_factory, hugepages, tmp_path, eal):
    if not eal:
        subprocess.run(["mount", "-t", "hugetlbfs", "none", tmp_path], check=True)
        eal = ["--huge-dir=%s" % tmp_path, "--huge-unlink"]
    try:
        switch = switch_factory(huge=True, eal=eal)
        switch.ctl("port add p dev net_null_p")
        switch.wait_for(lambda: switch.port("p")["rx_packets"] > 1000, 5)
        switch.stop()
    finally:
        subprocess.run(["umount", "-q", tmp_path])


def test_idle_workers(switch):
    """They leave their core to others, unless told to poll on; what they do is told truthfully."""
    def cores(seconds=1.5):
        with open("/proc/%d/stat" % switch.pid) as stream:
            before = sum(map(int, stream.read().rpartition(")")[2].split()[11:13]))
        time.sleep(seconds)
        with open("/proc/%d/stat" % switch.pid) as stream:
            after = sum(map(int, stream.read().rpartition(")")[2].split()[11:13]))
        return (after - before) / os.sysconf("SC_CLK_TCK") / seconds
    assert cores() < 0.6  # a nap costs two switches of the core's context, which virtual machines make dear
    assert switch.ctl("worker show")[0]["busy_percent"] < 1
    switch.ctl("worker idle spin")
    assert cores() > 0.8
    assert switch.ctl("worker show")[0]["busy_percent"] < 1
    assert "worker idle spin" in switch.ctl("save").splitlines()
    switch.ctl("worker idle sleep")
    switch.ctl("port add load dev net_null_load")
    time.sleep(1.2)
    assert switch.ctl("worker show")[0]["busy_percent"] > 50


@pytest.mark.asan
def test_save_makes_the_same(switch_factory, tmp_path):
    """Every kind of thing, with every option."""
    first = switch_factory(config=[
        "port add a vhost %s/a.sock" % tmp_path, "port add b vhost %s/b.sock client learn off" % tmp_path,
        'port add c dev "net_pcap_c,tx_pcap=%s/a file"' % tmp_path,
        "port add d dev net_null_d,no-rx=1 learn off", "vm add one port a mac 02:00:00:00:00:01 mac 02:00:00:00:00:02",
        "vm add two port b mac 02:00:00:00:00:03 port d mac 02:00:00:00:00:04 region %s/r size 65536 mode 0640" % tmp_path,
        "worker idle spin", "R F 02:00:00:00:00:01 10.0.0.1", "A 02:00:00:00:00:01 I 15 t 1 s 10.0.0.2 d 10.0.0.3 p udp",
        "R F 02:00:00:00:00:04 2001:db8::1", "A 02:00:00:00:00:04 T 2 d 80",
        "R L 02:00:00:00:00:03 10.0.0.4 1 10.0.0.5 10.0.0.6", "R L 02:00:00:00:00:03 10.0.0.4 0 0.0.0.0 10.0.0.7"])
    saved = first.ctl("save")
    assert len(saved.splitlines()) >= 12
    first.stop()
    second = switch_factory(config=saved.splitlines())
    assert second.ctl("save") == saved


def test_mshctl_tables_and_json(switch):
    switch.ctl("port add p0 dev net_null_p0,no-rx=1")
    status, out, err = mshctl(switch, "port", "show")
    header, row = out.splitlines()[:2]
    assert (status, err) == (0, "") and header.split()[0] == "PORT" and row.split()[0] == "p0"
    assert header.index("STATE") == row.index("up"), "columns are in line"
    status, out, _ = mshctl(switch, "-j", "port", "show")
    assert status == 0 and json.loads(out)[0]["port"] == "p0"
    assert mshctl(switch, "port show p0")[0] == 0, "one word with blanks is a command"
    status, out, err = mshctl(switch, "port", "show", "nobody")
    assert (status, out, err) == (1, "", "mshctl: there is no port nobody (NOTFOUND)\n")
    status, out, err = mshctl(switch, "-j", "port", "show", "nobody")
    assert status == 1 and json.loads(out)["status"] == "NOTFOUND"
    run = subprocess.run([MSHCTL, "-s", "/nothere", "version"], capture_output=True, text=True)
    assert run.returncode == 1 and "/nothere" in run.stderr


def test_mshctl_script(switch, tmp_path):
    """Stops at the first error, names file and line; what came before stays."""
    script = tmp_path / "script"
    script.write_text("# a script\nport add p0 dev net_null_p0,no-rx=1\n\nport add p0 dev net_null_p1\nport del p0\n")
    assert mshctl(switch, "-f", str(script)) == (1, "", "%s:4: port p0 is there already (EXISTS)\n" % script)
    assert switch.port("p0")["port"] == "p0"
    assert mshctl(switch, "-f", "-", stdin="port del p0\n")[0] == 0
    assert switch.ctl("port show") == []
    assert mshctl(switch, "-f", "/nothere") == (1, "", "mshctl: /nothere: No such file or directory\n")


def test_mshctl_prompt(switch):
    """On a terminal, with line editing: a typing error is taken back, the last line is got again."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "vt100"
        os.execv(MSHCTL, [MSHCTL, "-s", switch.socket])
    seen = ""

    def expect(text, times):
        nonlocal seen
        end = time.monotonic() + 10
        while len(re.findall(text, seen)) < times:
            assert time.monotonic() < end, seen
            try:
                seen += os.read(terminal, 4096).decode()
            except OSError:
                break
    expect("msh> ", 1)
    os.write(terminal, b"versiox\x7fn\r")
    expect(r"mshswitch \d", 1)
    os.write(terminal, b"frobnicate\r")
    expect("frobnicate", 2)
    os.write(terminal, b"\x10\x10\r")  # twice up
    expect(r"mshswitch \d", 2)
    os.write(terminal, b"quit\r")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


@pytest.mark.asan
def test_clients_that_misbehave(switch):
    """Too long, binary, gone before the answer, never reading: others are served."""
    with Ctl(switch.socket) as client:
        for line in (b"x" * 1025, b"x" * 60000, b"\0\xff\n", b"port show\nversion", b"#", b" "):
            assert client.ask(line)["status"] in ("BAD", "OK"), line
    for _ in range(200):
        gone = Ctl(switch.socket)
        gone.send("help")
        gone.close()
    deaf = [Ctl(switch.socket) for _ in range(5)]
    for client in deaf:
        client.socket.setblocking(False)
        try:
            for _ in range(5000):
                client.send("help")
        except BlockingIOError:
            pass
    start = time.monotonic()
    for _ in range(20):
        assert switch.ctl_raw("version")["status"] == "OK"
    assert time.monotonic() - start < 2
    for client in deaf:
        client.close()
    assert switch.answers()


@pytest.mark.asan
def test_as_many_clients_as_there_is_room_for(switch):
    """One too many is turned away, and there is room again when one goes."""
    clients = []
    try:
        while len(clients) < 2000:
            clients.append(Ctl(switch.socket, timeout=3))
            clients[-1].ask("version")
    except (OSError, CtlError):
        clients.pop().close()
    assert len(clients) >= 16 and clients[0].ask("version")["status"] == "OK"
    for client in clients:
        client.close()
    wait_for(switch.answers, 5)


def test_other_kinds_of_sockets_are_refused(switch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wrong, pytest.raises(OSError):
        wrong.connect(switch.socket)
