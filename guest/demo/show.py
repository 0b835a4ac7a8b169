# SPDX-License-Identifier: BSD-3-Clause
"""What the demo says: a table that moves on a terminal, lines elsewhere."""

import sys

from measure import FIGURES

COLUMNS = ("by itself", "handed over")


def number(value, digits):
    return "" if value is None else "%.*f" % (digits, value)


def factor(before, after, unit):
    """How many times less or more. What has no unit is a count of what went wrong: no factor."""
    if not unit or not before or after is None:
        return ""
    if after <= before / 1.05:
        times = before / after if after else float("inf")
        return "gone" if times > 9999 else "%.*fx less" % (times < 10, times)
    return "%.*fx more" % (after < 10 * before, after / before) if after >= before * 1.05 else "the same"


def table(title, before, after):
    """Lines. Either may be None or lack figures yet."""
    before, after = before or {}, after or {}
    lines = ["%-36s %12s %12s" % (title, *COLUMNS)]
    for key, words, unit, digits in FIGURES:
        if key in before or key in after:
            values = before.get(key), after.get(key)
            lines.append("  %-34s %12s %12s   %s" % (
                words + (", " + unit if unit else ""), number(values[0], digits), number(values[1], digits),
                factor(*values, unit)))
    return [line.rstrip() for line in lines]


class Screen:
    """On a terminal, what moves stands at the end and is written over; erase() or the next line() ends it."""

    def __init__(self, stream=sys.stdout):
        self.stream, self.moving, self.height = stream, stream.isatty(), 0

    def line(self, text=""):
        """A line that stays."""
        self.write(self.back() + text + "\n")

    def lines(self, lines):
        for line in lines:
            self.line(line)

    def progress(self, title, before, after, index, what, left):
        """The part's table as it is now. index: of the column that is being measured and shows the last second."""
        if self.moving:
            lines = table(title, before, after) + ["%s, %d s to go" % (what, round(left))]
            text = self.back() + "".join(line + "\n" for line in lines)
            self.height = len(lines)
            self.write(text)
        else:
            now = (before, after)[index]
            self.write("%s, %s: %.0f packets/s into the VM, %.0f interrupts/s, CPU %.0f %%, %.1f good requests/s\n" % (
                title, what, now["vm_packets"], now["vm_interrupts"], now["host_cpu"], now["good_served"]))

    def back(self):
        """What brings the cursor back to where the moving part begins, and clears from there on."""
        text = "\033[%dA\033[J" % self.height if self.height else ""
        self.height = 0
        return text

    def write(self, text):
        self.stream.write(text)
        self.stream.flush()
