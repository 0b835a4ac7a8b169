#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest's console in this terminal: console.py SOCKET. Ctrl-] leaves it."""

import os
import select
import socket
import sys
import termios
import tty

LEAVE = b"\x1d"


def relay(console):
    while True:
        ready, _, _ = select.select([console, sys.stdin], [], [])
        if console in ready:
            data = console.recv(4096)
            if not data:
                return
            os.write(1, data)
        if sys.stdin in ready:
            data = os.read(0, 4096)
            if not data or LEAVE in data:
                return
            console.sendall(data)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    console = socket.socket(socket.AF_UNIX)
    try:
        console.connect(sys.argv[1])
    except OSError as error:
        sys.exit("%s: %s" % (sys.argv[1], error.strerror))
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if saved:
            tty.setraw(0)
        console.sendall(b"\n")  # for a prompt
        relay(console)
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
    print()


if __name__ == "__main__":
    main()
