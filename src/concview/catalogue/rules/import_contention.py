"""Threads wait for a module that another thread is importing.

What it sees:
    Threads at an `import` of one module, which wait until the thread that began to import it is through with the body
    of the module.

Why it hurts:
    A module is imported by one thread; all others that want it wait. Where its body connects, loads a model or reads a
    large file, the first requests after a start wait for it, and when the other side does not answer, for ever.

How it is measured:
    The mean number of threads that wait for the lock of one module, on the lower end of the 95 % interval; threads
    that have waited for five seconds without a break are counted, not estimated. The lock of a module records which
    thread imports it; that is read from memory where it can be, and the module's name with it. Thresholds 0.5 and 1.5
    [H]: demo pair 4.0 (bad), 0.0 (fixed).

Fix:
    Let the body of a module define things, and do nothing slow in it.

        def connection():                     # instead of: connection = connect() in the body
            global _connection
            with _guard:
                if _connection is None: _connection = connect(timeout=5)
            return _connection

    Or import it at the start, before there are other threads.

When it is fine:
    The first moments of a program, where a large library is loaded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.window import ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd, _importing
from concview.catalogue.rules._crowd import Crowd, Slices
from concview.model import Confidence
from concview.text import percent


class ImportContention:
    id: ClassVar[str] = "import-contention"
    title: ClassVar[str] = "Threads wait for a module that another one imports"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for the module"

    def observe(self, window: Window) -> Iterable[Observation]:
        circles = _importing.circles(window)
        for crowd in _crowd.crowds(window, _wanted):
            if not circles or not set(crowd.tids) <= _importing.behind(window, circles):
                yield _one(window, crowd)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    if profile.classification.via != "import":
        return None
    address = profile.wait.lock
    user = profile.stack.user_leaf
    where = f"{user.file}:{user.line}" if user is not None else "?"
    return (f"{address:#x}" if address else where), "a module"


def _one(window: Window, crowd: Crowd) -> Observation:
    name = _importing.module_of(window, crowd) or "a module"
    read = {p.run.wait.target for _, p in crowd.waits if p.run.wait.target}
    kept: Slices = []
    for thread in window.threads:
        if not read or thread.tid in read:
            kept += _inside(thread, sure=bool(read))
    owners = _crowd.by_time(kept) or sorted(read)
    meanwhile = _crowd.doing(kept)
    stack = meanwhile.stack
    summary = crowd.waiting(f"in {crowd.spot} for the import of {name}")
    if owners:
        summary += f"; {evidence.who(window, owners)} {'imports' if len(owners) == 1 else 'import'} it"
        body = _importing.body(stack)
        if body is not None:
            summary += f", in {evidence.frame_spot(body)}"
        summary += f", mostly {meanwhile.words} ({percent(meanwhile.share)} of that time)" if meanwhile.words else ""
    else:
        summary += "; who imports it was not seen"
    return replace(
        crowd.in_turn(Confidence.EXACT if read else Confidence.INFERRED, owners, meanwhile),
        label=name,
        title=f"{crowd.at_once('waits', 'wait')} for the import of {name}",
        summary=summary + crowd.lasting_words + ".",
        gain="What the body of the module waits for would be waited for by whoever needs it, with a time limit.",
        check_next=(
            f"Must {evidence.frame_spot(_importing.body(stack) or stack.user_leaf)} be done while {name} is imported?"
            if stack is not None
            else f"What does the body of {name} do?"
        ),
        where=evidence.places(stack, crowd.stack),
        stacks=meanwhile.shown("imports it") + crowd.evidence(),
    )


def _inside(thread: ThreadWindow, sure: bool) -> Slices:
    """Where it imports something itself: not where it waits for somebody else's import."""

    def wanted(profile: WaitProfile) -> bool | None:
        if profile.classification.via == "import" and not sure:
            return None
        return True if _importing.loading(profile.stack) else None

    return [(thread, slice_) for slice_, _ in thread.slices_of(wanted)]


RULE = ImportContention()
