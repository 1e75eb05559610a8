"""--agent: looking inside the target, too. Only when the user asked for it, and knows what it does."""

from __future__ import annotations

import argparse

from concview.commands.base import CommandError, Exit
from concview.session import LiveSource, Session

#: The target has this long (seconds) to run some Python code, without which the agent cannot start.
PATIENCE_S = 60
WHAT = (
    "the agent is one more thread in the target, for tasks, queues, pools, GC pauses and exact calls; it is asked in by"
    " writing to the target's memory, costs about 0.1 % of a core, and leaves when concview does; while it is there,"
    " a fork in the target warns of threads from Python 3.12 on"
)


def check(options: argparse.Namespace) -> None:
    """CommandError when consent is missing."""
    if options.agent and not options.yes:
        raise CommandError(WHAT, Exit.USAGE, "say --agent --yes to let it in")
    if options.yes and not options.agent:
        raise CommandError("--yes goes with --agent", Exit.USAGE)


def invite(source: object) -> None:
    """Ask for the agent. What becomes of it is told in the stream. `source`: of a started session, or opened."""
    if isinstance(source, Session):
        source = source.source
    if isinstance(source, LiveSource):
        source.order(f"agent attach {PATIENCE_S}")
