"""The process has nearly as many files and connections open as it may.

What it sees:
    Open descriptors, against the limit (RLIMIT_NOFILE) of the process.

Why it hurts:
    At the limit nothing can be opened any more: no file, no connection, no incoming request, often no log either.
    The error shows up in whatever happens to come next.

How it is measured:
    Both numbers are read from the kernel. Thresholds 80 % and 95 % [S: common alerting limits]: the demo pair ends at
    97 % (bad) and stays at 3 % (fixed).

Fix:
    Close what is not needed any more, where it was opened.

        with open(path) as file: ...
        with closing(connect()) as db: ...

    Then, if that many are really needed: ulimit -n, LimitNOFILE=, or setrlimit at the start.

When it is fine:
    A server with a limit chosen for the number of connections it expects.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Frame, Stack
from concview.text import percent

_OPENS = re.compile(r"\b(open|socket|connect|create_connection|accept|dup|pipe|Popen|urlopen|request|get)\(")


class FdSaturation:
    id: ClassVar[str] = "fd-saturation"
    title: ClassVar[str] = "Nearly all descriptors are in use"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.8, 0.95, "share of the limit", "[S] common alerting limits")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "counters")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "open descriptors"

    def observe(self, window: Window) -> Iterable[Observation]:
        counters, limit = window.history.counters, window.target.fd_limit
        if counters is None or limit <= 0 or counters.fds < 0:
            return
        share = counters.fds / limit
        before = next((b.before for b in window.buckets if b.before is not None), None)
        grown = counters.fds - before.fds if before is not None else 0
        lines = _openers(window)
        yield Observation(
            subject="process",
            value=share,
            lower=share,
            samples=window.samples,
            episodes=1,
            confidence=Confidence.EXACT,
            title=f"{counters.fds} of {limit} descriptors are in use",
            summary=(
                f"{counters.fds} of the {limit} descriptors this process may have are open ({percent(share)})"
                + (f", {grown} more than {window.seconds:.0f} s ago" if grown > 0 else "")
                + (f". Lines that open something: {evidence.frame_spot(lines[0])}." if lines else ".")
            ),
            gain="At the limit every open, connect and accept fails.",
            check_next=f"ls -l /proc/{window.target.pid}/fd shows what they are; most of one kind is the leak.",
            where=tuple(evidence.at(f) for f in lines[:3]),
        )


def _openers(window: Window) -> list[Frame]:
    """The user's lines that were seen opening something, most often seen first."""
    stacks: dict[int, Stack] = {}  # equal stacks are one object: the text is searched once for each
    times: Counter[int] = Counter()
    for thread in window.threads:
        for one in thread.wait_profiles:
            stacks[id(one.stack)] = one.stack
            times[id(one.stack)] += one.times
    seen: Counter[Frame] = Counter()
    for number, stack in stacks.items():
        leaf = stack.user_leaf
        if leaf is not None and leaf.origin == "user" and _OPENS.search(leaf.text):
            seen[leaf] += times[number]
    return [frame for frame, _ in seen.most_common(3)]


RULE = FdSaturation()
