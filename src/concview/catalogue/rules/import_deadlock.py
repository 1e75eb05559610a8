"""A module that is being imported waits for a thread that needs the same module.

What it sees:
    A circle of threads in which one waits for the import of a module, and the thread that imports it waits, in the
    body of that module, for the end of the other one, for its result, or for a lock that it holds.

Why it hurts:
    The body of the module can only end when the other thread does, and that one only when the module is there. Nobody
    outside the circle can help: the program hangs in its start, and so does whoever imports the module later.

How it is measured:
    The lock of a module records the thread that imports it, which is read from memory, and so are whom a thread joins
    and the locks that each holds. The circle must stand unchanged for one second [D: nobody in it can move]: score 100;
    95 where one of its edges is inferred. Demo pair: stands until the end (bad), never seen (fixed). Two modules that
    import each other are no such circle: Python gives one of them the other one before it is complete.

Fix:
    Start no thread in the body of a module, or do not wait for it there.

        def start():                          # called by the program, when all imports are done
            global rates
            with ThreadPoolExecutor() as pool: rates = list(pool.map(fetch, SOURCES))

    Or give the thread what it needs before it starts: an import inside of a function is one, too.

When it is fine:
    Never: nothing outside of the circle can end it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis import graph
from concview.analysis.graph import Edge
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _importing
from concview.model import Concern, Confidence
from concview.text import duration, plural


class ImportDeadlock:
    id: ClassVar[str] = "import-deadlock"
    title: ClassVar[str] = "A module waits for a thread that imports it"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 1.0, "s", "[D] nobody in the circle can move")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "locks")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "how long the cycle has lasted"
    concern: ClassVar[Concern] = Concern.GIVER
    moment: ClassVar[bool] = True

    def observe(self, window: Window) -> Iterable[Observation]:
        known = {t.tid for t in window.threads}
        for circle in _importing.circles(window):
            if len(circle) > 1 and all(e.waiter in known for e in circle):
                yield _one(window, circle)


def _one(window: Window, circle: list[Edge]) -> Observation:
    tids = [e.waiter for e in circle]
    runs = [r for e in circle for r in (e.wait_run, e.hold_run)]
    stood = max(0, window.end_ns - max(r.began_ns for r in runs)) / 1e9
    seen = max(0, window.end_ns - max(r.start_ns for r in runs)) / 1e9
    edge = next(e for e in circle if e.via == "import")
    name = _importing.name_of(window, edge.wait_run.wait.lock) or "a module"
    place = _importing.body(edge.hold_run.stack)
    exact = all(e.confidence is Confidence.EXACT for e in circle)
    others = [t for t in _importing.behind(window, [circle]) if t not in tids]
    spot = evidence.frame_spot(edge.wait_run.stack.user_leaf)
    summary = (
        f"{window.name(edge.waiter)} waits for the import of {name} ({spot}), "
        f"which {window.name(edge.holder)} has begun and in which it waits itself "
        f"({evidence.frame_spot(place or edge.hold_run.stack.user_leaf)})"
    )
    rest = [_words(window, e) for e in circle if e is not edge]
    summary += f": {'; '.join(rest)}.{evidence.unchanged(window, stood)}"
    if others:
        summary += f" {plural(len(others), 'more thread waits', 'more threads wait')} behind them."
    return Observation(
        subject="-".join(str(t) for t in sorted(tids)),
        value=stood,
        lower=stood,
        samples=evidence.samples_in(window, min(stood, window.seconds) * 1e9),
        episodes=1,
        confidence=Confidence.EXACT if exact else Confidence.INFERRED,
        label=name,
        title=f"The import of {name} waits for a thread that imports it",
        summary=summary,
        gain=f"{plural(len(tids) + len(others), 'thread')} that will not move again before a restart.",
        check_next=f"Which threads does the body of {name} start, and what do they import?",
        where=evidence.places(edge.hold_run.stack, edge.wait_run.stack),
        threads=(*tids, *others),
        stacks=tuple(
            one
            for e in circle
            for one in evidence.shown("in the cycle", e.waiter, window.name(e.waiter), e.wait_run.stack)
        ),
        explains=(("deadlock", "-".join(str(t) for t in sorted(tids))), ("import-contention", "*")),
        score=100 if exact else 95,
        needs=""
        if seen >= 1.0 or window.moment
        else f"a circle to be seen to stand for 1 s (was for {duration(seen)})",
    )


def _words(window: Window, edge: Edge) -> str:
    """'main waits for the end of loader'."""
    waiter, holder = window.name(edge.waiter), window.name(edge.holder)
    if edge.via:
        return f"{waiter} waits for {graph.LINKS[edge.via].waits_for.format(holder)}"
    return f"{waiter} waits for {evidence.site_name(edge.site, edge.hold.kind, edge.hold.lock)}, held by {holder}"


RULE = ImportDeadlock()
