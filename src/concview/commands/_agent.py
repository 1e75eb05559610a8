"""--agent: looking inside the target, too. Only when the user asked for it, and knows what it does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from concview.commands import _options
from concview.commands.base import CommandError, Exit

if TYPE_CHECKING:
    from concview.control import CountCalls
    from concview.model import AgentStatus

WHAT = (
    "the agent is one more thread in the target, for tasks, queues, pools, GC pauses and exact calls; it is asked in by"
    " writing to the target's memory, costs about 0.1 % of a core, and leaves when concview does; while it is there,"
    " a fork in the target warns of threads from Python 3.12 on"
)


#: A window of counted calls lasts so long (seconds) unless said otherwise, and at most (agent.core.MAX_WINDOW_S).
WINDOW_S, MAX_WINDOW_S = 5.0, 60.0
#: Of a demo whose rule wants counted calls: it is named when they are in.
DEMO_WINDOW_S = 6.0
_CLOCKS = ("wall", "cpu", "none")


def add(parser: argparse.ArgumentParser, consent: bool = True) -> None:
    """--agent and --calls; --yes where the target may be another's (`consent`)."""
    parser.add_argument("--agent", action="store_true", help="also look inside, with an agent thread in the target")
    if consent:
        parser.add_argument("--yes", action="store_true", help="with --agent: yes, add a thread to the target")
    parser.add_argument(
        "--calls",
        metavar="CLOCK[:S]",
        default="",
        help="with --agent: count every call for S seconds (default 5), timed by CLOCK wall or cpu (yappi), or none "
        "(counts only, 3.12+); slows down code that calls much",
    )


def check(options: argparse.Namespace, ours: bool = False) -> None:
    """CommandError when consent is missing, or an option without which another makes no sense.

    `ours`: the target was started by us, so that --agent says it all.
    """
    yes = getattr(options, "yes", False)
    if options.calls and not options.agent:
        raise CommandError("--calls goes with --agent", Exit.USAGE, WHAT)
    window(options.calls)
    if options.agent and not (yes or ours):
        raise CommandError(WHAT, Exit.USAGE, "say --agent --yes to let it in")
    if yes and not options.agent:
        raise CommandError("--yes goes with --agent", Exit.USAGE)


def window(calls: str) -> CountCalls | None:
    """What the value of --calls asks for; None: nothing."""
    from concview.control import CountCalls  # late: --help needs none of it

    if not calls:
        return None
    clock, _, length = calls.partition(":")
    if clock not in _CLOCKS:
        raise CommandError(f"--calls: no such clock: '{clock}'", Exit.USAGE, f"clocks: {', '.join(_CLOCKS)}")
    seconds = _options.seconds_of(length, "--calls", MAX_WINDOW_S) if length else WINDOW_S
    return CountCalls(clock, seconds)


def invite_for_demo(session: object, demo_id: str, wanted: bool = False, calls: str = "") -> None:
    """`invite` where the demo's rule needs the view from inside, or where it is `wanted` all the same."""
    from concview import registry

    rules = registry.everything("concview.catalogue.rules", "RULE").values()
    needs = next((rule.needs for rule in rules if rule.id == demo_id), ())
    if "calls" in needs:
        calls = calls or f"wall:{DEMO_WINDOW_S:g}"
    if wanted or "calls" in needs or "agent" in needs:
        invite(session, calls)


def not_in(status: AgentStatus | None, refusal: AgentStatus | None) -> tuple[str, str] | None:
    """(why, remedy) where what was asked of the agent was not done: refused, or it never came."""
    if refusal is not None:
        return f"no view from inside: {refusal.text}", refusal.remedy
    if status is None:
        return "no view from inside: nothing was heard of the agent", "watch for longer"
    if status.state == "refused" or status.state == "asking":
        return f"no view from inside: {status.text or 'the agent did not come in time'}", status.remedy
    return None


def invite(source: object, calls: str = "") -> None:
    """Ask for the agent, and for a window of counted calls. What becomes of it is told in the stream. `source`: of a
    started session, or opened."""
    from concview.control import PATIENCE_S, AttachAgent
    from concview.session import LiveSource, Session  # late: --help needs none of it

    if isinstance(source, Session):
        source = source.source
    if isinstance(source, LiveSource):
        source.order(AttachAgent(PATIENCE_S))
        if (counting := window(calls)) is not None:
            source.order(counting)
