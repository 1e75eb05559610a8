"""Small objects are kept in a pool, and taking one out and putting it back costs more than making one.

What it sees:
    A function that takes an object out of a queue.Queue and puts it back, tens of thousands of times a second, where
    the constructor of the object's class takes less time than the queue does.

Why it hurts:
    A queue takes a lock and tells a condition, twice for every use of the object, and threads that share the pool
    queue for it. The allocator of Python is a pool already: a small object comes from its free lists.

How it is measured:
    Check-outs a second, counted exactly by yappi, times what each could save: 0.67 µs for get and put [M: 0.67 µs on
    3.14, 1.16 to 1.43 µs on 3.11 to 3.13, without competition; the least of them counts] less the average time of the
    class's `__init__`, the cost of counting included. On a busy machine both take longer by the clock: where get and
    put took longer than 7.9 µs while counted [M: 3.11], `__init__` is taken to have by the same factor. That the
    function checks out is inferred from its source: what it takes it puts back. The class is that of `put(Class(...))`
    in the same file, and at least 50 of its objects must be made while calls are counted, anywhere in the program;
    else what making one costs is not known, and nothing is said. A pool whose users wait, for an object or while they
    have one, for 5 % of that time [H] is none of this. Never more than INFO, from 1 % of a core [H], or of
    as much of a core as the kernel gave to a thread that wanted one: on the demo pair 5 % (bad, 3.11) and none
    (fixed).

Fix:
    Make it where it is needed; it is gone when the function ends.

        box = Box(width, height)

When it is fine:
    What is expensive to make or must be few: connections, threads, large buffers, compiled things. An object that
    prepares itself on first use is expensive, too, although its constructor is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from concview.analysis.calls import Function
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.catalogue.rules import _exact
from concview.model import Confidence, Site, Stack, State
from concview.source.calls import QUEUE
from concview.source.origin import is_module
from concview.text import count, percent

#: CPU of a get and a put without competition (seconds). [M] 3.14 on a 2-core machine; 3.8 to 3.13 take 1.2 to 2.4 µs.
GET_PUT_S = 0.67e-6
#: The same while calls are counted (seconds of wall-clock time). [M] 3.11. How much longer it took tells how much
#: longer everything took, because other processes or threads had the CPU.
COUNTED_S = 7.9e-6
#: So many objects must be made while calls are counted.
MADE = 50
#: How much the counts of get and put may differ.
ALIKE = 0.1
#: Share of the time around a check-out in which a thread may wait.
WAITING = 0.05
_WAITS = frozenset({State.IO, State.SLEEP, State.LOCK, State.IDLE})
_ENABLE = "count calls while objects are made, such as from the start: concview run --agent --from-start --calls wall"


@dataclass(slots=True, eq=False)
class _Borrower:
    """A function that takes out and puts back, as it was sampled."""

    function: Function
    site: Site
    thread: ThreadWindow
    stack: Stack
    ns: int = 0
    waiting_ns: int = 0


class ObjectPoolOverhead:
    id: ClassVar[str] = "object-pool-overhead"
    title: ClassVar[str] = "A pool of objects costs more than making them"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.01, 0.5, "share of a core", "[M] 0.67 µs for get and put; [H] the share"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "calls")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "CPU that making the objects would save"

    def observe(self, window: Window) -> Iterable[Observation]:
        exact = _exact.Exact(window)
        unknown = ""
        judged = []
        for one in _borrowers(window, exact):
            taken, taking_s = exact.calls_of(one.function, _gets)
            given, giving_s = exact.calls_of(one.function, _puts)
            if taken < _exact.MIN_CALLS or abs(taken - given) > ALIKE * taken or one.waiting_ns > WAITING * one.ns:
                continue
            constructor = _constructor(exact, one.site.item)
            if constructor is None:
                unknown = one.site.item or f"what {one.site.expression} holds"
                continue
            slower = max(1.0, (taking_s + giving_s) / taken / COUNTED_S)
            saved = GET_PUT_S - constructor.average_s / slower
            if saved > 0:
                judged.append(_observation(window, exact, one, constructor, saved, taken, taking_s + giving_s))
        if unknown and not judged:
            raise Inapplicable(f"what it costs to make {unknown} was not seen while calls were counted", _ENABLE)
        return judged


def _observation(
    window: Window, exact: _exact.Exact, one: _Borrower, made: Function, saved: float, taken: int, queue_s: float
) -> Observation:
    share, site = exact.rate(taken) * saved / _exact.had_cpu(one.thread), one.site
    return Observation(
        subject=f"{site.key}:{one.function.name}",
        value=share,
        lower=share,
        samples=window.samples,
        episodes=taken,
        confidence=Confidence.INFERRED,
        title=f"{site.expression}: {count(exact.rate(taken))} times a second for a {site.item} that is quickly made",
        summary=(
            f"{_exact.spot(one.function)} took a {site.item} out of {site.expression} {count(exact.rate(taken))} times "
            f"a second and put it back: {_exact.micro(queue_s / taken)} each, of which a good part is counting, and at "
            f"least {_exact.micro(GET_PUT_S)} without. To make one took {_exact.micro(made.average_s)}, counting "
            f"included ({count(made.calls)} were made)."
        ),
        gain=f"At least {percent(share)} of a core, and nobody waits for {site.expression} any more.",
        check_next=f"Does a {site.item} prepare anything on first use that would have to be done again?",
        where=(*evidence.places(one.stack, first=site)[:2], _exact.place(made)),
        threads=(one.thread.tid,),
        stacks=evidence.shown("borrower", one.thread.tid, one.thread.name, one.stack, "takes one out or has one"),
        severity_cap="info",
    )


def _queues(function: Function, *names: str) -> bool:
    return _exact.bare(function.name) in names and is_module(function.file, QUEUE)


def _gets(function: Function) -> bool:
    return _queues(function, "get")


def _puts(function: Function) -> bool:
    return _queues(function, "put", "put_nowait")


def _constructor(exact: _exact.Exact, item: str) -> Function | None:
    """`__init__` of the class, the slowest where several have that name; None when too few were made."""
    name = f"{item}.__init__"
    fits = [f for f in exact.functions.values() if item and (f.name == name or f.name.endswith(f".{name}"))]
    enough = [f for f in fits if f.calls >= MADE]
    return max(enough, key=lambda f: f.average_s) if enough and len(enough) == len(fits) else None


def _borrowers(window: Window, exact: _exact.Exact) -> Iterable[_Borrower]:
    found: dict[tuple[Function, str], _Borrower] = {}
    known: dict[int, tuple[Function, Site] | None] = {}  # by stack: there are far fewer of them than slices
    for thread, slice_ in window.slices():
        stack = slice_.run.stack
        if id(stack) not in known:
            frame = next((f for f in stack.frames if f.checkout is not None and f.origin in ("user", "library")), None)
            function = exact.at(frame) if frame is not None else None
            site = frame.checkout if frame is not None else None
            known[id(stack)] = (function, site) if function is not None and site is not None else None
        seen = known[id(stack)]
        if seen is None:
            continue
        one = found.setdefault((seen[0], seen[1].key), _Borrower(*seen, thread, stack))
        one.ns += slice_.ns
        one.waiting_ns += slice_.ns if slice_.run.state in _WAITS else 0
    return found.values()


RULE = ObjectPoolOverhead()
