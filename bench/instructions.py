# SPDX-License-Identifier: BSD-3-Clause
"""Instructions a packet of the worker's loop, counted by callgrind on a replay (replay/): exact, whatever else the
machine does. instructions.json has what they were when somebody last looked, by compiler and DPDK, whose inline code is
part of the loop. Which code the C library picks by CPU is fixed here, and what it picked is looked at."""

import glob
import json
import os
import re
import subprocess
import tempfile

from contestants import BUILD

BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
TOLERANCE = 0.01
# The C library's functions are to be those of any x86-64, whatever this CPU could do beyond.
TUNABLES = "glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2"
VARIANT = re.compile(r"_*(\w+?)_(?:sse|ssse|avx|evex|erms)\w*$")  # __memmove_avx_unaligned_erms: memmove


class NothingToCompare(Exception):
    """With another compiler, another DPDK, or another path in the C library."""


def costs(path):
    """{(object, function): instructions} of one of callgrind's files, without what it calls."""
    names, found, skip, current = {}, {}, False, {}
    with open(path) as stream:
        for line in stream:
            named = re.match(r"(fn|ob)=\((\d+)\)(?: (.+))?", line)
            if named:
                kind, number, name = named.groups()
                names.setdefault((kind, number), name)
                current[kind] = names[kind, number]
            elif line.startswith("calls="):
                skip = True  # the next line is the callee's
            elif re.match(r"cob=|cfn=", line):
                called = re.match(r"c(ob|fn)=\((\d+)\)(?: (.+))?", line)
                names.setdefault((called[1], called[2]), called[3])
            elif re.match(r"[+*\-\d]", line):
                if not skip:
                    key = os.path.basename(current.get("ob", "")), current["fn"]
                    found[key] = found.get(key, 0) + int(line.split()[1])
                skip = False
    return found


def measure():
    """{"build": ..., "workloads": {name: instructions a packet}, "functions": {name: {function: instructions}},
    "variants": {C function: which of its variants}}"""
    with tempfile.TemporaryDirectory(prefix="msh-replay-", dir="/tmp") as directory:
        out = directory + "/out"
        # valgrind takes one option for the other when two functions' names begin alike.
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--toggle-collect=replay_measure",
             "--toggle-collect=let_guests_run", "--dump-after=replay_measure", BUILD + "/bench/msh-replay", directory],
            env=dict(os.environ, GLIBC_TUNABLES=TUNABLES), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if run.returncode != 0:
            raise RuntimeError("msh-replay ended with %d:\n%s" % (run.returncode, run.stderr))
        said = [json.loads(line) for line in run.stdout.splitlines()]
        counted = [costs("%s.%d" % (out, number + 1)) for number in range(len(said) - 1)]
        assert len(glob.glob(out + ".*")) == len(counted), "callgrind made other files than one for each workload"
    result = {"build": said[0]["build"], "workloads": {}, "functions": {}, "variants": {}}
    for workload, cost in zip(said[1:], counted):
        result["workloads"][workload["name"]] = sum(cost.values()) / workload["packets"]
        result["functions"][workload["name"]] = {key[1]: n / workload["packets"] for key, n in cost.items()}
        found = [VARIANT.match(function) for library, function in cost if library.startswith("libc.")]
        result["variants"].update((variant[1], variant[0]) for variant in found if variant)
    return result


def load():
    with open(BASELINE) as stream:
        return json.load(stream)


def store(result):
    """In place of what is stored for such a build."""
    stored = load() if os.path.exists(BASELINE) else {}
    stored[result["build"]] = {"variants": result["variants"],
                               "workloads": {name: round(n, 2) for name, n in result["workloads"].items()}}
    with open(BASELINE, "w") as stream:
        json.dump(stored, stream, indent=1, sort_keys=True)
        stream.write("\n")


def compare(result):
    """{workload: change}, 0.01 for 1 % more than stored; None: not stored. Raises NothingToCompare."""
    stored = load().get(result["build"])
    if stored is None:
        raise NothingToCompare("no counts are stored for a build with %s, only for %s: `./dev bench instructions "
                               "--store`, on a tree that is known to be good" % (result["build"], "; ".join(load())))
    for function, variant in result["variants"].items():
        before = stored["variants"].get(function, variant)
        if variant != before:
            raise NothingToCompare("the C library takes %s here, and %s where the counts were stored: they say nothing "
                                   "about the switch" % (variant, before))
    return {name: n / stored["workloads"][name] - 1 if name in stored["workloads"] else None
            for name, n in result["workloads"].items()}


def verdicts(changes):
    """A sentence for each workload that is not as stored."""
    bad = []
    for name, change in changes.items():
        if change is None:
            bad.append("%s: not stored yet: `./dev bench instructions --store`" % name)
        elif change > TOLERANCE:
            bad.append("%s: %.1f %% more instructions a packet than stored" % (name, change * 100))
        elif change < -TOLERANCE:
            bad.append("%s: %.1f %% fewer instructions a packet than stored: keep them so, "
                       "`./dev bench instructions --store`" % (name, -change * 100))
    return bad


def table(result, changes):
    lines = ["| instructions a packet | now | beside stored | most of them in |", "|---|---|---|---|"]
    for name, n in result["workloads"].items():
        top = sorted(result["functions"][name].items(), key=lambda item: -item[1])[:4]
        change = changes.get(name)
        lines.append("| %s | %.1f | %s | %s |" % (name, n, "-" if change is None else "%+.2f %%" % (change * 100),
                                                  ", ".join("%s %.0f" % item for item in top)))
    return "\n".join(lines)


def show(store_them):
    """What `./dev bench instructions` does. Exit status."""
    result = measure()
    if store_them:
        store(result)
        print("stored in %s for a build with %s" % (os.path.basename(BASELINE), result["build"]))
    try:
        changes = compare(result)
    except NothingToCompare as why:
        print(table(result, {}))
        print(why)
        return 0
    print(table(result, changes))
    bad = verdicts(changes)
    print("\n".join(bad) or "all within %g %% of what is stored" % (TOLERANCE * 100))
    return 1 if bad else 0
