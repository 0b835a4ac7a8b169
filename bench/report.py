# SPDX-License-Identifier: BSD-3-Clause
"""What was measured as a Markdown table and as a picture."""

BAR, ROW, LEFT, WIDTH = 14, 22, 330, 360  # pixels


def effect_table(result):
    lines = ["| us from store to effect | p50 | p90 | p99 | max |", "|---|---|---|---|---|"]
    for command, word in (("drop", "A"), ("pass", "D")):
        row = result[command + "_us"]
        lines.append("| `%s` | %s |" % (word, " | ".join("%.0f" % row[name] for name in ("p50", "p90", "p99", "max"))))
    return "\n".join(lines)


def contest_table(contests):
    """contests: {peer: {workload: summary}}"""
    lines = ["| mshswitch beside | traffic | cycles a packet, ours | theirs | ratio (quartiles) | Mpps, ours | theirs | pairs |",
             "|---|---|---|---|---|---|---|---|"]
    for peer, workloads in contests.items():
        for name, one in workloads.items():
            cycles, mpps = one.get("cycles"), one.get("mpps", {"a": 0, "b": 0})  # nothing came through
            busy = "%.0f | %.0f | %.2f (%.2f-%.2f)" % tuple(cycles[key] for key in ("a", "b", "ratio", "low", "high")) \
                if cycles else "| | "
            lines.append("| %s | %s | %s | %.2f | %.2f | %d |" % (peer, name, busy, mpps["a"], mpps["b"], one["pairs"]))
    return "\n".join(lines)


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
