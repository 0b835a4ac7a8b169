#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The main job of mshswitch, shown with real guests: a firewall and a load balancer first decide about each packet
themselves, then hand their decisions to the switch. Exit status 0: it came true."""

import os
import signal

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda *_: os._exit(130))  # nothing runs yet

import argparse  # noqa: E402
import contextlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import topology  # noqa: E402
from measure import Meter, failures, measure, summary  # noqa: E402
from show import Screen, factor, table  # noqa: E402

FLOOD = 8000  # packets a second: what one TCG guest makes without starving the others on two CPUs
RATE = 32  # good requests a second, at most, so that what they bring is alike before and after
SETTLE = 1.5  # seconds: what was under way at a change, and the samples about it, are over by then


class Stopped(BaseException):
    """Ctrl-C, or its like."""


class Signals:
    """Turns signals into Stopped, but not within hold(): there it comes at the end. After end() they are ignored."""

    def __init__(self):
        self.held, self.pending = False, False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.handle)

    def handle(self, *_):
        if self.held:
            self.pending = True
        else:
            self.held = True  # a second one must not disturb the cleaning up
            raise Stopped

    @contextlib.contextmanager
    def hold(self):
        self.held = True
        yield
        self.held = False
        if self.pending:
            self.handle()

    def end(self):
        self.held = True


class Part:
    """One middlebox, before and after, in several rounds: on a shared machine a neighbor's work would otherwise be
    taken for the effect."""

    def __init__(self, lab, screen, title, box, hand_over, hand_back, flood=False):
        self.lab, self.screen, self.title, self.box = lab, screen, title, box
        self.hand_over, self.hand_back, self.flood = hand_over, hand_back, flood
        self.rounds = ([], [])  # before, after

    def run(self, options, server, sources):
        flood = self.lab.flood(FLOOD) if self.flood else None
        meter = Meter(self.lab, self.box, flood)
        for number in range(1, options.rounds + 1):
            if number > 1:
                self.tell("takes it back", self.hand_back)
            # Taken back without requests: IPVS would not know the connections that it never saw.
            meter.get = self.lab.get(RATE, server, sources)
            reading = self.phase(meter, options, 0, number)
            self.tell("hands over", self.hand_over)
            self.phase(meter, options, 1, number, reading)
            meter.get.stop()
        meter.close()
        if flood:
            flood.stop()
        self.screen.line()
        self.screen.lines(table(self.title, *self.figures()))
        self.screen.line()

    def tell(self, what, script):
        answers = self.lab.guests[self.box].check(script).splitlines()
        self.screen.line("%s: msh in the guest %s" % (self.title, what))
        self.screen.lines("    " + answer for answer in answers)

    def phase(self, meter, options, index, number, reading=None):
        what = "round %d of %d, %s" % (number, options.rounds, ("the VM does it itself", "the switch does it")[index])
        time.sleep(SETTLE)

        def progress(now, left):
            shown = [summary(figures) for figures in self.rounds]
            shown[index] = now
            self.screen.progress(self.title, *shown, index, what, left)

        figures, reading = measure(meter, options.seconds, progress, reading)
        self.rounds[index].append(figures)
        return reading

    def figures(self):
        """(before, after) of all rounds."""
        return tuple(summary(figures) for figures in self.rounds)


def run(options, signals, lab, screen):
    """True: the story came true."""
    start = time.monotonic()
    lab.prepare()
    screen.line("starting the switch and %d guests: %s" % (len(topology.NAMES), ", ".join(topology.NAMES)))
    with signals.hold():
        lab.start()
    lab.configure()
    screen.line("all up after %.0f s" % (time.monotonic() - start))
    screen.line()
    firewall = Part(lab, screen, "firewall", "fw", topology.FW_HANDOVER, topology.FW_HANDBACK, flood=True)
    firewall.run(options, topology.WEB1, [topology.GOOD])
    balancer = Part(lab, screen, "load balancer", "lb", topology.LB_HANDOVER, topology.LB_HANDBACK)
    balancer.run(options, topology.VIP, topology.LB_CLIENTS)
    parts = {part.title: part.figures() for part in (firewall, balancer)}
    found = [sentence for name, figures in parts.items() for sentence in failures(name, *figures)]
    report = {"story": not found, "failures": found, "seconds": options.seconds, "rounds": options.rounds}
    for name, (before, after) in parts.items():
        factors = {key: value / after[key] if after[key] else None for key, value in before.items()}
        report[name.replace(" ", "_")] = {"before": before, "after": after, "before_by_after": factors}
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(report, stream, indent=2)
            stream.write("\n")
    fall = [factor(before["vm_packets"], after["vm_packets"], "/s") for before, after in parts.values()]
    if found:
        screen.line("The story did NOT come true:")
        screen.lines("  " + sentence for sentence in found)
    else:
        screen.line("It came true: packets into the firewall %s, into the load balancer %s; nothing blocked leaked, "
                    "no good request failed." % tuple(fall))
    return not found


def keep(lab, screen):
    """Leave all running, with traffic, until a signal comes."""
    lab.flood(FLOOD)
    lab.get(RATE, topology.VIP, topology.LB_CLIENTS)
    ctl = "%s/bin/mshctl -s %s" % (topology.BUILD, lab.switch.socket)
    screen.line()
    screen.line("All of it runs on, with the flood and the requests. Look around:")
    for command in ("vm show", "stage show fw", "stage show lb", "drop show", "worker show", "help"):
        screen.line("  %s %s" % (ctl, command))
    screen.line("A guest's console, where msh and all else can be tried (Ctrl-] leaves it):")
    for guest in lab.guests.values():
        screen.line("  /usr/bin/python3 %s/console.py %s/console" % (topology.HERE, guest.directory))
    screen.line("Ctrl-C ends it.")
    while True:
        signal.pause()


def main():
    parser = argparse.ArgumentParser(prog="dev demo", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, and say how to look around")
    parser.add_argument("--seconds", type=float, default=4, help=argparse.SUPPRESS)  # of a phase
    parser.add_argument("--rounds", type=int, default=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    signals, lab, screen = Signals(), topology.Lab(), Screen()
    status, told = 1, False
    try:
        status, told = int(not run(options, signals, lab, screen)), True
        if options.keep:
            keep(lab, screen)
    except Stopped:
        if not told:  # else it is how --keep ends
            status = 130
        screen.line("stopping")
    except Exception as error:  # whatever it is, the user gets a sentence
        print("dev demo: %s" % error, file=sys.stderr)
    finally:
        signals.end()
        lab.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
