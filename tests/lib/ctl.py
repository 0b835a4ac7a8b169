# SPDX-License-Identifier: BSD-3-Clause
"""Client of the control socket: a packet is a command, the answer is JSON in packets that begin with '+' (more
follow) or '.' (last)."""

import json
import socket

LINE_MAX = 1024
PACKET_MAX = 1 << 16


class CtlError(Exception):
    """The switch did not answer OK, or not at all: then status is None."""

    def __init__(self, status, text, command=None):
        super().__init__("%s: %s%s" % (status or "no answer", text, " (%s)" % command if command else ""))
        self.status, self.text = status, text


class Ctl:
    """A connection. Answers come in the order of the commands."""

    def __init__(self, path, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.connect(path)  # waits its turn; with a timeout it would fail at once
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(timeout)

    def send(self, command):
        self.socket.send(command if isinstance(command, bytes) else command.encode())

    def receive(self):
        answer = b""
        while True:
            packet = self.socket.recv(PACKET_MAX)
            if not packet:
                raise CtlError(None, "the switch closed the connection")
            if packet[:1] not in b"+.":
                raise CtlError(None, "a packet begins with %r" % packet[:1])
            answer += packet[1:]
            if packet[:1] == b".":
                return json.loads(answer)

    def ask(self, command):
        self.send(command)
        return self.receive()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ctl(path, command, timeout=10):
    """The whole answer to one command: {"status": ..., "text": ..., "data": ...}; text and data may be missing."""
    try:
        with Ctl(path, timeout) as connection:
            return connection.ask(command)
    except OSError as error:
        raise CtlError(None, "%s: %s" % (path, error), command) from error
