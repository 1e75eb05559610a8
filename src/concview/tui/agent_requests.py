"""Asking for the agent and for windows of exact counting: what may be asked now, and the question before it.

Every function says by a notification why it does nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from concview.analysis.calls import callgrind, pstat
from concview.control import PATIENCE_S, AttachAgent, Command, CountCalls, DetachAgent, StopCounting
from concview.model import Calls
from concview.snapshot import Snapshot, Status
from concview.text import count, duration, plural

#: Counting a call takes up to this much more in a program than in the agent's small loop, whose memory is all in the
#: CPU's cache. [M] 1.0 to 1.4, 3.8 to 3.14.
BUSY_CODE = 1.3


class Ordering(Protocol):
    """A session that passes commands on to the collector; False when there is nobody to obey."""

    def order(self, command: Command) -> bool: ...


def why_not(session: Any, snapshot: Snapshot | None) -> str:
    """Why nothing can be asked of the inside of this target; '' when something can."""
    if snapshot is None or snapshot.target is None:
        return "there is no process yet"
    if not getattr(session, "live", True) or snapshot.status in (Status.REPLAY, Status.FINISHED):
        return "this is a recording: nothing can be asked of its process any more"
    if snapshot.status is Status.EXITED:
        return "the process has exited"
    if snapshot.status is Status.LOST:
        return f"the process cannot be reached any more: {snapshot.ending}"
    if not hasattr(session, "order"):
        return "this dashboard was opened without a way to the inside"
    return ""


def attached(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and snapshot.agent is not None and snapshot.agent.state == "attached"


def asking(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and snapshot.agent is not None and snapshot.agent.state == "asking"


def window(snapshot: Snapshot | None) -> str:
    """The counting that runs now: 'yappi wall', 'yappi cpu', 'monitoring'; '' none."""
    return snapshot.agent.window if snapshot is not None and snapshot.agent is not None and attached(snapshot) else ""


def offer(app: Any, snapshot: Snapshot | None) -> None:
    """Ask whether the agent may come; send it away when it is there."""
    session = app.session
    if not _possible(app, snapshot):
        return
    if attached(snapshot) or asking(snapshot):
        _order(session, DetachAgent())
        return
    from concview.tui.screens.agent import AgentQuestion

    assert snapshot is not None and snapshot.target is not None

    def answered(yes: bool | None) -> None:
        if yes:
            _order(session, AttachAgent(PATIENCE_S))

    app.push_screen(AgentQuestion(snapshot.target), answered)


def count_calls(app: Any, snapshot: Snapshot | None) -> None:
    """Ask how calls shall be counted; end the counting when it runs."""
    session = app.session
    if not _possible(app, snapshot):
        return
    if not attached(snapshot):
        app.notify("calls are counted by the agent, which is not in the target: a asks it in", markup=False)
        return
    if window(snapshot):
        _order(session, StopCounting())
        return
    from concview.tui.screens.agent import WindowQuestion

    assert snapshot is not None

    def answered(command: CountCalls | None) -> None:
        if command is not None:
            _order(session, command)

    app.push_screen(WindowQuestion(snapshot), answered)


def save(app: Any, snapshot: Snapshot | None) -> None:
    """Write the counts that are shown as pstat and callgrind files."""
    calls = snapshot.calls if snapshot is not None else None
    if snapshot is None or calls is None:
        app.notify("there are no counts to save: w counts calls", markup=False)
        return
    if calls.running:
        app.notify("the window is open: its counts can be saved at its end", markup=False)
        return
    target = snapshot.target
    try:
        names = save_calls(calls, target.pid if target else 0, " ".join(target.command) if target else "")
    except ValueError as error:
        app.notify(str(error), severity="warning", markup=False)
    except OSError as error:
        app.notify(f"could not save: {error.strerror}", severity="error", markup=False)
    else:
        app.notify(f"saved {names[0]} and {names[1]}", markup=False)


def save_calls(calls: Calls, pid: int, command: str = "", where: Path | None = None) -> tuple[str, str]:
    """Writes `concview-PID-calls-N.pstat` and `.callgrind`; their names. ValueError without times; OSError."""
    first, second = pstat(calls), callgrind(calls, command).encode()
    folder = where or Path.cwd()
    number = 1
    while True:
        stem = folder / f"concview-{pid}-calls-{number}"
        names = stem.with_suffix(".pstat"), stem.with_suffix(".callgrind")
        try:
            with names[0].open("xb") as file:  # 'x': never over an older file
                file.write(first)
        except FileExistsError:
            number += 1
            continue
        names[1].write_bytes(second)
        return str(names[0]), str(names[1])


def cost(calls: Calls) -> str:
    """What counting does to the target: '1.2M calls/s, 230 ns each for counting: 36 % of a core. Code takes 1.6 times
    the CPU that it took before (measured by 12 functions)'. What is not measured says so."""
    said = f"{count(calls.calls / max(calls.seconds, 0.001))} calls/s"
    if calls.calls:
        each = 1e9 * calls.cost_share * calls.seconds / calls.calls
        how = "" if calls.used_s else " (estimated)"
        said += f", {each:.0f} ns each for counting{how}: {100 * calls.cost_share:.0f} % of a core"
    if calls.slower:
        by = plural(calls.slower_by, "function")
        return f"{said}. Code takes {calls.slower:.1f} times the CPU that it took before (measured by {by})"
    low, high = derived(calls)
    if not high:
        return said
    if high < 1.05:
        return f"{said}. Code takes hardly more CPU than before (derived)"
    times = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    return f"{said}. Code takes about {times} times the CPU (derived: not measured against before)"


def derived(calls: Calls) -> tuple[float, float]:
    """How many times as much CPU running code takes, at least and at most: from the CPU used in the window and what
    counting took of it. Waiting takes no longer; how much of the rest is bytecode, which a profiler may slow down, is
    not known. Zeros where CPU was not measured."""
    if not calls.used_s:
        return 0.0, 0.0
    factors = []
    for real, drag in ((1.0, 1.0), (BUSY_CODE, calls.drag)):
        spent = real * calls.cost_share * calls.seconds
        # The calls themselves take their time, too: that bounds it where nearly all CPU went into counting.
        own = max((calls.used_s - spent) / drag, calls.bare_s, 1e-6)
        factors.append((own * drag + spent) / own)
    return factors[0], factors[1]


def window_words(calls: Calls) -> str:
    """'yappi, wall clock, 5.0 s'."""
    how = {"yappi": f"yappi, {calls.clock} clock", "monitoring": "sys.monitoring, counts only"}
    return f"{how.get(calls.source, calls.source)}, {duration(calls.seconds)}"


def _possible(app: Any, snapshot: Snapshot | None) -> bool:
    problem = why_not(app.session, snapshot)
    if problem:
        app.notify(problem, severity="warning", markup=False)
    return not problem


def _order(session: Any, command: Command) -> None:
    cast(Ordering, session).order(command)
