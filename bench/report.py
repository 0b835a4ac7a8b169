# SPDX-License-Identifier: BSD-3-Clause
"""What was measured as a Markdown table and as a picture."""

from gaps import gaps_table

BAR, ROW, LEFT, WIDTH = 14, 22, 330, 360  # pixels


def effect_table(result):
    lines = ["| us from store to effect | p50 | p90 | p99 | max |", "|---|---|---|---|---|"]
    for command, word in (("drop", "A"), ("pass", "D")):
        row = result[command + "_us"]
        lines.append("| `%s` | %s |" % (word, " | ".join("%.0f" % row[name] for name in ("p50", "p90", "p99", "max"))))
    return "\n".join(lines)


def contest_table(contests):
    """contests: {peer: {workload: summary}}"""
    lines = ["| mshswitch beside | traffic | cycles a packet, ours | theirs | ratio (quartiles) | Mpps, ours | theirs | lost, %: ours | theirs | pairs |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for peer, workloads in contests.items():
        for name, one in workloads.items():
            cycles, mpps = one.get("cycles"), one.get("mpps", {"a": 0, "b": 0})  # nothing came through
            busy = "%.0f | %.0f | %.2f (%.2f-%.2f)" % tuple(cycles[key] for key in ("a", "b", "ratio", "low", "high")) \
                if cycles else "| | "
            lines.append("| %s | %s | %s | %.2f | %.2f | %.1f | %.1f | %d |" % (
                peer, name, busy, mpps["a"], mpps["b"], one["lost"]["a"] * 100, one["lost"]["b"] * 100, one["pairs"]))
    return "\n".join(lines)


def latency_table(contests):
    """Of the workloads at a given rate, and of what the machine did meanwhile; "" when there are none."""
    rows, machine = [], []
    for peer, workloads in contests.items():
        for name, one in workloads.items():
            if "p50" not in one:
                continue
            for which, part in (("all", ""), ("undisturbed", " undisturbed")):
                figures = [one.get(key + part) for key in ("p50", "p90", "p99", "p99.9")]
                if None in figures:  # the generator had no time without gaps
                    continue
                rows.append("| %s | %s, %.1f Mpps | %s | %s | %s | %.2f (%.2f-%.2f) | %.1f | %.1f | %.1f | %.1f |" % (
                    peer, name, one["mpps"]["a"], which, " / ".join("%.1f" % figure["a"] for figure in figures),
                    " / ".join("%.1f" % figure["b"] for figure in figures), figures[0]["ratio"], figures[0]["low"],
                    figures[0]["high"], one["lost"]["a"] * 1e6, one["lost"]["b"] * 1e6,
                    one["left out"]["a"] * 100, one["left out"]["b"] * 100))
            machine.append("\n" + gaps_table(one["machine"]))
    if not rows:
        return ""
    return "\n".join(["| mshswitch beside | traffic | packets | us, ours: p50 / p90 / p99 / p99.9 | theirs | ratio of p50 (quartiles) "
                      "| lost, ppm: ours | theirs | disturbed, %: ours | theirs |", "|" + "---|" * 10] + rows + machine)


def loss_table(found, ppm):
    what = "loses at most %g ppm" % ppm if ppm else "without loss"
    lines = ["| " + what + " | Mpps | long run at 80 % | sent | lost | found no room | a ring lasts, us | switch silent, us "
             "| generator away, us | counters |", "|" + "---|" * 10]
    machine = []
    for name, one in found.items():
        if "long" not in one:
            lines.append("| %s | none found |%s" % (name, " |" * 8))
            continue
        run = one["long"]
        lines.append("| %s | %.2f | %.0f s, %.2f Mpps | %d | %d | %d | %.0f | %.0f | %.0f | %s |" % (
            name, one["mpps"], run["seconds"], run["mpps"], run["all_sent"], run["lost"], run["refused"], one["ring_us"],
            run["silence_us"], run["gaps"]["longest_us"], "; ".join(one["disagreements"]) or "agree to the packet"))
        machine.append("\nThe same time without the switch, after %s:\n\n%s" % (name, gaps_table(one["machine"])))
    return "\n".join(lines + machine)


def contest_picture(contests):
    """An SVG with a bar for each ratio of cycles a packet, a tick for each quartile, and a line at 1."""
    rows = [(peer + ", " + name, one["cycles"]) for peer, workloads in contests.items()
            for name, one in workloads.items() if "cycles" in one]
    most = max([row["high"] for _, row in rows] + [1]) * 1.1
    height = ROW * len(rows) + 50

    def x(ratio):
        return LEFT + WIDTH * ratio / most

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (
        LEFT + WIDTH + 60, height), '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="18">cycles a packet of mshswitch, as a multiple of the other\'s (less is better)</text>']
    for number, (name, row) in enumerate(rows):
        y = 30 + ROW * number
        parts.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (LEFT - 8, y + 12, name))
        parts.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (
            LEFT, y, x(row["ratio"]) - LEFT, BAR, "#4a90d9" if row["ratio"] <= 1 else "#d9904a"))
        parts.append('<path d="M%.1f %d H%.1f" stroke="black"/>' % (x(row["low"]), y + BAR // 2, x(row["high"])))
        parts.append('<text x="%.1f" y="%d">%.2f</text>' % (x(row["high"]) + 5, y + 12, row["ratio"]))
    parts.append('<path d="M%.1f 26 V%d" stroke="black" stroke-dasharray="3"/></svg>' % (x(1), height - 15))
    return "\n".join(parts) + "\n"
