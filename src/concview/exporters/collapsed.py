"""Collapsed stacks: one line a stack, root first, with whole microseconds behind it.

Readers split at ';' and take the number behind the last blank; anything else, decimals too, they drop without a word.
So weights are whole microseconds and names lose what would split a line. The state and what is waited for stand as
frames below the leaf, in brackets.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import BinaryIO

from concview.analysis.work import NO_WORK
from concview.exporters import _names
from concview.exporters._totals import Total, totals
from concview.exporters.base import Exporter, Request, remarks
from concview.session.recording import Recording

#: What ends a line for one of the readers; blanks at the ends would make two frames of one.
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def name(raw: str) -> str:
    """As one frame of a line."""
    return _BREAKS.sub(" ", raw).replace(";", ":").strip() or _names.UNNAMED


def _root(total: Total, group_by: str) -> str:
    if group_by == "label":
        return total.activity.doing.work or NO_WORK
    return total.activity.word if group_by == "state" else _names.thread(total.thread)


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, gil_blockers=True, tasks=request.tasks)
    stacks: dict[int, str] = {}
    # Root by root: the lines of all of them at once may be a gigabyte.
    roots: dict[str, list[Total]] = defaultdict(list)
    for total in totals(samples):
        root = _root(total, request.group_by)
        roots["" if request.group_by == "none" else f"{name(root)};"].append(total)
    for first, those in sorted(roots.items()):
        lines: dict[str, int] = defaultdict(int)
        for total in those:
            activity = total.activity
            known = stacks.get(id(activity.stack))
            if known is None:
                frames = reversed(activity.stack.frames)
                known = stacks[id(activity.stack)] = "".join(f"{name(_names.place(f))};" for f in frames)
            leaves = _names.leaves(activity, total.blocker, request.side)
            lines[first + known + ";".join(map(name, leaves))] += total.ns
        for line, ns in sorted(lines.items()):
            if weight := round(ns / 1000):
                out.write(f"{line} {weight}\n".encode())
    return ["weights are microseconds of elapsed time", *remarks(samples)]


EXPORTER = Exporter(
    "stacks as lines, for flamegraph.pl, inferno, speedscope, flameshow",
    write,
    sides=True,
    groups=("thread", "state", "label", "none"),
    suffix=".collapsed",
    together=True,
    tasks=True,
)
