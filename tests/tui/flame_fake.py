"""A session whose threads spend their time as their stacks in the picture say, for the flame view."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import fake

from concview.analysis import calltree
from concview.model import State
from concview.session.session import CallReport

SECONDS = 10.0


@dataclass
class CallSession(fake.FakeSession):
    """`asked` is what `calls` was called with; `fails` is raised by it."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    fails: Exception | None = None

    def calls(
        self,
        states: Collection[State] | None = None,
        tids: Collection[int] | None = None,
        by_line: bool = False,
        fold: bool = False,
        holding: bool = False,
        tasks: bool = False,
        labels: Sequence[str] = (),
        by_work: bool = False,
    ) -> CallReport:
        self.asked.append(
            {
                "states": states,
                "tids": tids,
                "by_line": by_line,
                "fold": fold,
                "holding": holding,
                "tasks": tasks,
                "labels": labels,
                "by_work": by_work,
            }
        )
        if self.fails is not None:
            raise self.fails
        snapshot = self.snapshot()
        pieces = []
        for thread in snapshot.threads:
            if (tids is None or thread.tid in tids) and thread.stack.frames:
                wanted = states if states is not None else list(State)
                share = (thread.gil_held or 0.0) if holding else sum(thread.shares[s] for s in wanted)
                if share > 0:
                    pieces.append((thread.stack, int(share * SECONDS * 1e9)))
        return CallReport(
            calltree.tree(pieces, by_line, fold), calltree.table(pieces, by_line), SECONDS, snapshot.at_ns
        )
