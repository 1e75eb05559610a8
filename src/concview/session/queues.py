"""Queues as views show them, and what a thread that waits at one is told to wait for: its name, bound and content."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from concview.analysis.blame.kinds.future import at_work
from concview.analysis.queues import Point, QueueHistories, QueueWindow, growth
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.window import Window
from concview.model import State
from concview.snapshot import QueueView

#: Growth is told over this time, as the rule about it does; sizes are shown of so much.
_GROWTH_NS, _SHOWN_NS = 30_000_000_000, 120_000_000_000
#: What it grew by is at least this share of what it holds, else it only goes up and down.
_GROWN = 0.1
#: Sizes kept for a picture.
_SIZES = 120

_FULL, _EMPTY = frozenset({"Queue.put"}), frozenset({"Queue.get", "SimpleQueue.get"})


def queue_words(run: Run, queues: QueueHistories) -> str:
    """'waits for an item of jobs: Queue(maxsize=8), 0 in it'; '' when it waits for something else, or at a queue that
    was not read. The number is left out when it was read before the thread began to wait: it may be another by now."""
    via = run.classification.via
    if not run.wait.lock or (via not in _FULL and via not in _EMPTY):
        return ""
    found = queues.last(run.wait.lock)
    if found is None:
        return ""
    known, at_ns = found
    bound = f"maxsize={known.most}" if known.most else "no bound" if known.kind != "SimpleQueue" else ""
    words = "waits for room in " if via in _FULL else "waits for an item of "
    words += (f"{known.name}: " if known.name else "") + f"{known.kind}({bound})"
    if at_ns >= run.start_ns:
        words += f", {known.size} in it"
    return words + (", with timeout" if run.wait.timed else "")


def queue_views(window: Window) -> tuple[QueueView, ...]:
    """Those that threads wait to put into first, then by what they hold."""
    alive = {t.tid: t for t in window.history.threads.values() if t.gone_ns == 0}
    putting = _waiting(alive.values(), _FULL)
    getting = _waiting(alive.values(), _EMPTY)
    views = [_view(q, alive, putting.get(q.address, ()), getting.get(q.address, ())) for q in window.queues]
    views.sort(key=lambda v: (-len(v.putting), -v.size, v.name))
    return tuple(views)


def queues_now(views: tuple[QueueView, ...], threads: Iterable[ThreadHistory]) -> tuple[QueueView, ...]:
    """The same queues with who waits at them at the last tick."""
    if not views:
        return views
    alive = {t.tid: t for t in threads}
    putting, getting = _waiting(alive.values(), _FULL), _waiting(alive.values(), _EMPTY)
    found = []
    for view in views:
        puts, gets = putting.get(view.address, ()), getting.get(view.address, ())
        idle = _idle(view.workers, alive)
        if (puts, gets, idle) != (view.putting, view.getting, view.idle):
            view = msgspec.structs.replace(view, putting=puts, getting=gets, idle=idle)
        found.append(view)
    return tuple(found)


def _idle(workers: Iterable[int], alive: dict[int, ThreadHistory]) -> int:
    """Workers without a task: one whose task waits for something is no free worker."""
    states = [alive[tid].current for tid in workers if tid in alive]
    return sum(run is not None and run.state is State.IDLE and not at_work(run.stack) for run in states)


def _waiting(threads: Iterable[ThreadHistory], via: frozenset[str]) -> dict[int, tuple[int, ...]]:
    """Address of a queue -> who waits at it now."""
    found: dict[int, tuple[int, ...]] = {}
    for thread in threads:
        run = thread.current
        if run is not None and run.wait.lock and run.classification.via in via:
            found[run.wait.lock] = (*found.get(run.wait.lock, ()), thread.tid)
    return found


def _view(
    queue: QueueWindow, alive: dict[int, ThreadHistory], putting: tuple[int, ...], getting: tuple[int, ...]
) -> QueueView:
    pool = queue.pool
    sizes = [p.size for p in queue.longer(_SHOWN_NS)]
    workers = tuple(tid for tid in pool.workers if tid in alive) if pool is not None else ()
    name = pool.name if pool is not None and pool.name else queue.last.name
    return QueueView(
        key=queue.key,
        address=queue.address,
        name=name,
        kind=queue.last.kind,
        size=queue.size,
        most=queue.last.most,
        sizes=tuple(sizes[:: -(-len(sizes) // _SIZES)]),
        put_rate=queue.put_rate,
        get_rate=queue.get_rate,
        growth=_growth(queue.longer(_GROWTH_NS)),
        putting=putting,
        getting=getting,
        users=tuple(tid for tid in queue.last.users if tid in alive),
        pool=pool is not None,
        pool_most=pool.most if pool is not None else 0,
        workers=workers,
        idle=_idle(workers, alive),
    )


def _growth(points: list[Point]) -> float:
    """Items a second that it grew by even where it grew least; 0 for one that does not grow for good."""
    _, least = growth(points)
    seconds = (points[-1].at_ns - points[0].at_ns) / 1e9 if points else 0.0
    return least if least > 0 and least * seconds >= _GROWN * points[-1].size else 0.0
