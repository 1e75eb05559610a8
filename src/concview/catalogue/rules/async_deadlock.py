"""Tasks wait for each other in a circle, perhaps through threads: none of them can ever go on.

What it sees:
    A circle of waits in which at least one is a task's: for a lock, all of a semaphore or a pool, the end of another
    task, a call that a thread runs; and threads that wait for a lock, or for the result of a task
    (run_coroutine_threadsafe). A task that takes an asyncio.Lock which it holds is a circle of its own, and so is a
    callback that blocks its loop for the result of a task of that loop.

Why it hurts:
    Nothing but a restart ends it. No thread stands still that a thread dump would show: the loop goes on with
    everything else, and what is in the circle never answers.

How it is measured:
    Who waits for what and who has it is read from await chains and frames. The circle must stand unchanged for a second
    [D: nobody in it can move; the second excludes torn reads], two where a holder is inferred from source: score 100,
    90. Where one of several would do (a pool, a semaphore, a worker thread), all of them must be seen to be in the
    circle. Waits in asyncio.wait_for give up by themselves and do not count. Demo pair: stands (bad), never (fixed).

Fix:
    Take the locks in one order everywhere.

        first, second = sorted((a, b), key=id)
        async with first, second: ...

    Do not await, inside a lock or with the last connection of a pool, what needs the same one. In the loop's own
    thread await a coroutine; `run_coroutine_threadsafe(...).result()` is for other threads.

When it is fine:
    Never, if it is exact. Where a holder is inferred, look whether it has given the lock back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from concview.analysis.tasks.waitfor import WaitEdge, circles, lost, wait_edges
from concview.analysis.tasks.window import AioWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, StackEvidence
from concview.text import duration, plural

INFERRED_FACTOR = 2.0
EXACT_SCORE, INFERRED_SCORE = 100, 90
#: Of a circle so many are told one by one.
MOST_TOLD = 4


class AsyncDeadlock:
    id: ClassVar[str] = "async-deadlock"
    title: ClassVar[str] = "Deadlock of tasks"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 1.0, "s", "[D] nobody in the circle can move")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "how long the cycle has lasted"
    moment: ClassVar[bool] = True

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        edges = wait_edges(window)
        found = circles(edges)
        behind = lost(edges) if found else set()
        for circle in found:
            yield self._one(window, aio, circle, edges, behind)

    def _one(
        self, window: Window, aio: AioWindow, circle: list[int], edges: Mapping[int, WaitEdge], behind: set[int]
    ) -> Observation:
        those = [edges[n] for n in circle]
        exact = all(e.exact for e in those)
        last = max(those, key=lambda e: (e.since_ns, e.before))
        age = max(0, window.end_ns - last.since_ns) / 1e9
        wanted = 1.0 if exact else INFERRED_FACTOR
        seen = age >= wanted or window.moment
        needs = "" if seen else f"a circle to stand for {duration(wanted)} (has for {duration(age)})"
        told = [_told(window, aio, e, set(circle)) for e in those[:MOST_TOLD]]
        more = f"; and {len(those) - MOST_TOLD} more alike" if len(those) > MOST_TOLD else ""
        others = _behind(edges, set(circle), behind)
        summary = f"{'; '.join(told)}{more}.{evidence.unchanged(window, age, last.before)}"
        if others:
            summary += f" {plural(len(others), 'more waits', 'more wait')} behind."
        if not exact:
            summary += " A holder is inferred from the source, not read."
        names = [_name(window, aio, n) for n in circle]
        tasks = tuple(-n for n in circle if n < 0)
        whats = list(dict.fromkeys(e.what for e in those if e.object))
        return Observation(
            subject="-".join(str(n) for n in sorted(circle)),
            value=age,
            lower=age,
            samples=_aio.looks_in(aio, min(age, aio.seconds) * 1e9),
            episodes=1,
            confidence=Confidence.EXACT if exact else Confidence.INFERRED,
            label=" and ".join(names[:2]),
            title=(
                f"{names[0]} waits for itself"
                if len(circle) == 1
                else f"Deadlock of {' and '.join(names) if len(names) <= 3 else f'{len(names)} tasks and threads'}"
            ),
            summary=summary,
            fix=_fix(those, whats),
            gain=f"{len(circle) + len(others)} of the tasks and threads will not move again before a restart.",
            check_next=(
                f"Where else {'is' if len(whats) == 1 else 'are'} {' and '.join(whats[:3])} taken together with others?"
                if whats
                else "Which of these waits can be left out, or be given a time limit?"
            ),
            where=evidence.places(*(e.stack for e in those)),
            threads=tuple(n for n in circle if n > 0),
            tasks=(*tasks, *(-n for n in others if n < 0))[:50],
            stacks=_stacks(window, aio, those),
            explains=(
                ("async-lock-held-across-await", "*"),
                ("async-pool-exhausted", "*"),
                ("async-straggler", "*"),
                ("async-semaphore-saturated", "*"),
                ("executor-exhausted", "*"),
                ("blocked-event-loop", "*"),
                ("thundering-herd", "*"),
                ("lost-wakeup", "*"),
                ("nested-executor-deadlock", "*"),
            ),
            score=EXACT_SCORE if exact else INFERRED_SCORE,
            needs=needs,
        )


def _name(window: Window, aio: AioWindow, node: int) -> str:
    return aio.name(-node) if node < 0 else window.name(node)


def _told(window: Window, aio: AioWindow, edge: WaitEdge, circle: set[int]) -> str:
    """'debit waits for self.ledger (bank.py:10), which credit has'."""
    spot = evidence.frame_spot(edge.stack.user_leaf) if edge.stack.user_leaf is not None else ""
    said = f"{_name(window, aio, edge.waiter)} waits for {edge.what}" + (f" ({spot})" if spot else "")
    held = [o for o in edge.others if o in circle]
    if edge.object and held:
        if held == [edge.waiter]:
            return f"{said}, which it holds itself"
        named = f" as {edge.held_as}" if edge.held_as not in ("", edge.what) else ""
        first = _name(window, aio, next((o for o in held if o != edge.waiter), held[0]))
        return (
            f"{said}, which {first} and {len(held) - 1} more have"
            if len(held) > 1
            else f"{said}, which {first} has{named}"
        )
    return said


def _behind(edges: Mapping[int, WaitEdge], circle: set[int], left: set[int]) -> list[int]:
    """Who can never go on because of this circle, without being in it."""
    found: set[int] = set()
    reach = set(circle)
    while True:
        more = {n for n in left - reach if any(o in reach for o in edges[n].others)}
        if not more:
            return sorted(found)
        found |= more
        reach |= more


def _stacks(window: Window, aio: AioWindow, edges: list[WaitEdge]) -> tuple[StackEvidence, ...]:
    out: tuple[StackEvidence, ...] = ()
    for edge in edges[:MOST_TOLD]:
        note = f"waits for {edge.what}"
        if edge.waiter < 0:
            out += _aio.shown("blocked", aio, -edge.waiter, edge.stack, note)
        else:
            out += evidence.shown("blocked", edge.waiter, window.name(edge.waiter), edge.stack, note)
    return out


def _fix(edges: list[WaitEdge], whats: list[str]) -> str:
    if len(edges) == 1 and edges[0].object:
        name = whats[0]
        return (
            f"An asyncio.Lock cannot be taken twice by one task: split the function so that the inner part expects "
            f"{name} to be held.\n\n"
            f"    async def _update_locked(self): ...   # the caller holds {name}"
        )
    if len(edges) > 1 and len({e.object for e in edges}) == 1 and edges[0].object:
        return (
            f"Whoever has a part of {whats[0]} asks for another one, and all parts are taken so: give what is called "
            "from inside a limit of its own, or take both parts at once."
        )
    if len(whats) == 1 and len({e.object for e in edges} - {0}) == 1 and all(e.waiter < 0 for e in edges):
        return (
            f"Who has {whats[0]} waits for the end of a task that needs {whats[0]} itself: await such tasks outside of "
            "it, or give them a limit of their own."
        )
    if any(e.waiter > 0 for e in edges):
        return (
            "A thread and a task wait for each other. Do not block for a task's result while that task needs what the "
            "blocked one has, least of all in the loop's own thread.\n\n"
            "    result = await coroutine()          # in the loop's thread\n"
            "    future = asyncio.run_coroutine_threadsafe(coroutine(), loop)   # in another; hold no lock meanwhile"
        )
    if len(whats) >= 2:
        first, second = whats[:2]
        return (
            f"Take {first} and {second} in one order everywhere.\n\n"
            f"    async with {first}, {second}: ...      # in every function, in this order"
        )
    return ""


RULE = AsyncDeadlock()
