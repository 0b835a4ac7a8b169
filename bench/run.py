#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measures the switch, alone and beside others; prints tables and writes results.json, results.md and contests.svg to
build/bench/. `./dev bench` calls it; bench/README.md says what is measured and how."""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time

import contestants
import rules as rule_sets
from classify import classify_all, classify_table, rule_files
from contest import WORKLOADS, contest, summary
from effect import effect, met
from instructions import show as show_instructions
from loss import loss
from nics import nic
from report import contest_picture, contest_table, effect_table, latency_table, loss_table
from scaling import scaling, scaling_summary, scaling_table
from tcp import tcp, tcp_table

PAGES = "/proc/sys/vm/nr_hugepages"
HUGEPAGES = 1100  # of 2 MB: two contestants and the generator
QUICK = ("64 B, 1 flow", "64 B, 10k flows", "1518 B", "64 B, half load")
LOSS = ("64 B, 1 flow", "64 B, 10k flows", "1518 B", "IMIX")
PEERS = {re.sub(r"\W+", "-", peer.name.lower() if isinstance(peer.name, str) else "testpmd-" + peer.mode): peer
         for peer in contestants.ALL[1:]}


def others():
    """What else uses this machine's CPUs, in CPUs: nothing of ours runs yet."""
    def times():
        with open("/proc/stat") as stream:
            numbers = [int(word) for word in stream.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]
    before = times()
    time.sleep(1)
    after = times()
    return (1 - (after[1] - before[1]) / (after[0] - before[0])) * os.cpu_count()


@contextlib.contextmanager
def hugepages():
    with open(PAGES) as stream:
        before = stream.read()
    try:
        for _ in range(20):  # memory is made free for them bit by bit
            with open(PAGES, "w") as stream:
                stream.write(str(HUGEPAGES))
            with open(PAGES) as stream:
                if int(stream.read()) >= HUGEPAGES:
                    break
            time.sleep(0.2)
        else:
            raise RuntimeError("no %d hugepages of 2 MB to be had" % HUGEPAGES)
        yield
    finally:
        with open(PAGES, "w") as stream:
            stream.write(before)


def captures(paths):
    """The files, with those of directories."""
    found = []
    for path in paths:
        inside = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
        found += [name for name in inside if os.path.isfile(path) or name.endswith((".pcap", ".pcapng"))]
    return found


def traffic_of(options, directory):
    """(workloads, rules or None) of the options."""
    workloads, rules = {}, None
    if options.rules:
        name, rules = os.path.basename(options.rules).split(".")[0], rule_sets.RuleSet(options.rules)
        for kind, headers in (("hits", rules.hits), ("misses", rules.misses)):
            rule_sets.write(headers, directory + "/" + kind)
            workloads["64 B, %d rules of %s, %s" % (len(rules.rules), name, kind)] = {
                "size": 64, "headers": directory + "/" + kind, "order": "random", "blocked": kind == "hits"}
    if options.pcaps:
        workloads[", ".join(map(os.path.basename, options.pcaps))] = {"pcap": captures(options.pcaps)}
    if options.workloads or not workloads:
        names = options.workloads or (QUICK if options.quick else WORKLOADS)
        workloads.update((name, WORKLOADS[name]) for name in names)
    return workloads, rules


def teller(options):
    return lambda text: print("  " + text, flush=True) if options.verbose else None


def longest(workload):
    return workload["size"] if isinstance(workload.get("size"), int) else 1518


def run_contests(options):
    results, tell = {}, teller(options)
    with hugepages(), tempfile.TemporaryDirectory(prefix="msh-traffic-", dir="/tmp") as directory:
        workloads, rules = traffic_of(options, directory)
        for word in options.against:
            peer = PEERS[word]
            name = peer().name
            print("beside %s:" % name, flush=True)
            fits = {key: value for key, value in workloads.items() if longest(value) <= peer.frame_max}
            pairs = contest(lambda: contestants.Mshswitch(rules), lambda: peer(rules), fits, pairs=options.pairs,
                            starts=3, ms=options.ms, packed=options.packed, tell=tell)
            results[name] = {workload: summary(found) for workload, found in pairs.items()}
            print(contest_tables({name: results[name]}), flush=True)
    return results


def contest_tables(results):
    return "\n\n".join(filter(None, [contest_table(results), latency_table(results)]))


def run_loss(options):
    """Results, and whether every counter agreed."""
    names = options.workloads or (LOSS[:1] if options.quick else LOSS)
    with hugepages():
        found = loss({name: WORKLOADS[name] for name in names}, options.ms, options.seconds,
                     options.ppm / 1e6, teller(options))
    print(loss_table(found, options.ppm), flush=True)
    return found, not any(one.get("disagreements") for one in found.values())


def main():
    parser = argparse.ArgumentParser(prog="dev bench", description="Measure the switch, alone and beside others.")
    parser.add_argument("what", nargs="*", choices=["instructions", "effect", "classify", "contests", "nic", "scaling", "tcp",
                                                    "loss", []], default=[],
                        help="default: all")
    parser.add_argument("--store", action="store_true", help="compare later instructions with those of now")
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer pairs, shorter slices, three workloads")
    parser.add_argument("--against", action="append", choices=list(PEERS), help="only beside these; may be repeated")
    parser.add_argument("--workload", action="append", dest="workloads", choices=list(WORKLOADS), help="only this traffic")
    parser.add_argument("--rules", metavar="FILE", help="rules and traffic from a rule set of ClassBench's form")
    parser.add_argument("--pcap", action="append", dest="pcaps", metavar="FILE", default=[],
                        help="the frames of this capture, or of all in a directory, as traffic; may be repeated")
    parser.add_argument("--packed", action="store_true", help="packed in-order rings in place of split ones")
    parser.add_argument("--pairs", type=int, help="pairs of slices (15, quick: 6)")
    parser.add_argument("--ms", type=int, help="length of a slice (1000, quick: 400)")
    parser.add_argument("--seconds", type=int, help="length of the long run without loss (60, quick: 10)")
    parser.add_argument("--ppm", type=float, default=0, help="of packets may be lost where none should (%(default)s)")
    parser.add_argument("--samples", type=int, default=500, help="commands of each kind for the effect (%(default)s)")
    parser.add_argument("--force", action="store_true", help="also on a busy machine; the results say so")
    parser.add_argument("--verbose", action="store_true", help="tell each pair")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))  # so that what cleans up runs
    options.pairs = options.pairs or (6 if options.quick else 15)
    options.ms = options.ms or (400 if options.quick else 1000)
    options.seconds = options.seconds or (10 if options.quick else 60)
    options.against = options.against or [word for word, peer in PEERS.items() if peer.is_there()]
    status = 0
    if "instructions" in options.what or not options.what:
        status = show_instructions(options.store)
        if options.what == ["instructions"]:  # whatever else this machine does
            return status
    load = others()
    if load > 0.3 and not options.force:
        sys.exit("dev bench: other processes use %.1f CPUs: no figure would mean anything. --force measures all the same" % load)
    result, text, status = {"busy_before": load, "quick": options.quick, "when": time.strftime("%F %T")}, [], status
    if "effect" in options.what or not options.what:
        result["effect"] = effect(options.samples)
        text.append(effect_table(result["effect"]))
        print(text[-1], flush=True)
        if not met(result["effect"]):
            print("the goal, p99 under 1000 us, is not met")
            status = 1
    if "classify" in options.what or not options.what:
        result["classify"] = classify_all([options.rules] if options.rules else rule_files(), teller(options))
        text.append(classify_table(result["classify"]))
        print(text[-1], flush=True)
    if "contests" in options.what or not options.what:
        result["contests"] = run_contests(options)
        text.append(contest_tables(result["contests"]))
    if "nic" in options.what or not options.what:
        with hugepages():
            result["nic"] = nic(options.pairs, options.ms, teller(options))
        text.append(contest_table(result["nic"]))
        print(text[-1], flush=True)
    if "scaling" in options.what or not options.what:
        with hugepages():
            found = scaling(options.pairs, options.ms, tell=teller(options))
        result["scaling"] = scaling_summary(found)
        text.append(scaling_table(result["scaling"]))
        print(text[-1], flush=True)
    if "tcp" in options.what or not options.what:
        with hugepages():
            result["tcp"] = tcp(2 if options.quick else 5, 5 if options.quick else 10, teller(options))
        text.append(tcp_table(result["tcp"]))
        print(text[-1], flush=True)
    if "loss" in options.what or not options.what:
        result["loss"], agreed = run_loss(options)
        text.append(loss_table(result["loss"], options.ppm))
        status = status if agreed else 1
    directory = contestants.BUILD + "/bench"
    os.makedirs(directory, exist_ok=True)
    with open(directory + "/results.json", "w") as stream:
        json.dump(result, stream, indent=1)
    with open(directory + "/results.md", "w") as stream:
        stream.write("\n\n".join(text) + "\n" + ("" if load <= 0.3 else "\nThe machine was busy.\n"))
    if result.get("contests"):
        with open(directory + "/contests.svg", "w") as stream:
            stream.write(contest_picture(result["contests"]))
    print("written to %s: results.json, results.md%s" % (directory, ", contests.svg" if result.get("contests") else ""))
    return status


if __name__ == "__main__":
    sys.exit(main())
