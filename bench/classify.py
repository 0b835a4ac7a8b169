# SPDX-License-Identifier: BSD-3-Clause
"""Cycles that the classifier takes for a packet, every packet another flow, beside rte_acl with the same rules
(classify.c). Rule sets are plain or xz files of ClassBench's form; those of a million rules are the largest ones with
other prefixes."""

import glob
import json
import lzma
import os
import subprocess
import tempfile

from contestants import BUILD

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MILLION = 1000000
EAL = ["--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", "--force-max-simd-bitwidth=512"]


def rule_files():
    return sorted(glob.glob(os.path.dirname(ROOT) + "/shared/rules/*.rules.xz"))


def classify(path, copies=1, peer=True):
    """Figures of one rule set; raises CalledProcessError when a packet gets another rule than a linear scan finds."""
    with tempfile.NamedTemporaryFile("w", prefix="msh-rules-") as plain:
        with (lzma.open if path.endswith(".xz") else open)(path, "rt") as stream:
            plain.write(stream.read())
        plain.flush()
        # What rte_acl builds of 100000 rules takes gigabytes.
        command = [BUILD + "/bench/msh-classify", *EAL, "-l", "0", "-m", "12000" if peer else "64",
                   "--", plain.name, str(copies), str(int(peer))]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def classify_all(paths, tell):
    """{name: figures}"""
    results = {}
    for path in paths:
        name = os.path.basename(path).split(".")[0]
        results[name] = classify(path)
        tell(name)
        if results[name]["rules"] > MILLION / 20:
            copies = MILLION // results[name]["rules"] + 1
            results["%s x %d" % (name, copies)] = classify(path, copies, peer=False)
    return results


def classify_table(results):
    def cycles(found, name):
        return "%.0f (%.0f)" % (found[name], found[name + "_best"]) if name in found else ""

    lines = ["| rules | number | cycles, hits (best) | rte_acl | ratio | cycles, random (best) | rte_acl | ratio | load, s "
             "| rte_acl | updates/s | bytes a rule | cost |", "|" + "---|" * 13]
    for name, one in results.items():
        cells = [name, str(one["rules"])]
        for kind in ("hits", "random"):
            cells += [cycles(one[kind], "cycles"), cycles(one[kind], "rte_acl"), "%.2f" % one[kind]["ratio"]]
        cells += ["%.2f" % one["load_s"], "%.1f" % one["rte_acl_load_s"], "%.0f" % one["updates"],
                  "%.0f" % one["bytes"], str(one["cost"])]
        lines.append("| %s |" % " | ".join(cells))
    return "\n".join(lines)
