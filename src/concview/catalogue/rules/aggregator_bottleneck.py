"""Everything has to pass through one thread, and that thread is the limit.

What it sees:
    One thread that takes items from a queue and computes all the time, while the threads that put items in wait for
    room, or the queue grows.

Why it hurts:
    However many threads produce, the program is no faster than this one thread: the others only wait, and more of them
    change nothing (Amdahl's law: what passes through it cannot be shared out).

How it is measured:
    The share of its time in which the only consumer of a queue is running, or would if it had a CPU or the GIL, while
    at least two producers are blocked in put or a queue without a bound grows. CPU time and run-queue delay are the
    kernel's own. Thresholds 0.8 and 0.9 [H]: demo pair 0.93 to 1.0 (bad), not observed (fixed: nobody waits).
    Which queue it is was read from memory; with py-spy it is inferred from the name in the source line.

Fix:
    Let those who produce do the work, and hand on what is left; or let several threads or processes consume.

        queue.put(checksum(block))      # in the producers, in parallel; instead of checksum(queue.get()) in one
        index.add(queue.get())          # what must be done by one is little now

    Where the work needs the GIL, threads do not do it in parallel: processes do.

When it is fine:
    The consumer waits for a disk or a network: then that is the limit. Or it waits for a CPU on a machine that has none
    to spare: then cpu-starvation is found as well, and comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from concview.analysis import queues
from concview.analysis.queues import QueueWindow
from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _queues
from concview.model import Confidence, Frame, Stack, State
from concview.text import percent

#: Threads blocked in put before one consumer is a bottleneck, and how many of them at a time, on average.
MIN_PRODUCERS = 2
MIN_BLOCKED = 0.25
#: A queue without a bound must grow for so long, and hold so much.
GROWING_NS = 10_000_000_000
MIN_ITEMS = 100


@dataclass(slots=True)
class _Line:
    """One queue and who is on which side of it."""

    name: str
    queue: QueueWindow | None = None
    producers: dict[int, list[Slice]] = field(default_factory=lambda: defaultdict(list))  #: blocked in put
    put: Frame | None = None
    growing: float = 0.0  #: items a second


class AggregatorBottleneck:
    id: ClassVar[str] = "aggregator-bottleneck"
    title: ClassVar[str] = "One thread that everything passes through is the limit"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(0.8, 0.9, "share of its time", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "time in which the only consumer computes"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        for line in [*_full(window), *_growing(window)]:
            consumers = _consumers(window, line)
            if len(consumers) == 1:
                yield _one(window, line, *consumers[0])


def _puts(one: WaitProfile) -> _queues.Call | None:
    """The put in which it waits for room."""
    return _queues.call_of(one.stack) if one.state is State.LOCK and _queues.blocked(one) == _queues.PUT else None


def _full(window: Window) -> Iterable[_Line]:
    """Queues at which producers wait for room."""
    known = {q.address: q for q in window.queues}
    lines: dict[object, _Line] = {}
    for thread, (slice_, call) in ((t, found) for t in window.threads for found in t.slices_of(_puts)):
        name = _queues.receiver(call.caller, _queues.PUT)
        queue = known.get(slice_.run.wait.lock)
        key = queue.address if queue is not None else name
        if not key:
            continue
        line = lines.setdefault(key, _Line(name, queue))
        line.put = line.put or call.caller
        line.producers[thread.tid].append(slice_)
    wall = max(1, window.end_ns - window.start_ns)
    for line in lines.values():
        blocked = sum(p.ns for slices in line.producers.values() for p in slices) / wall
        if len(line.producers) >= MIN_PRODUCERS and blocked >= MIN_BLOCKED:
            yield line


def _growing(window: Window) -> Iterable[_Line]:
    """Queues without a bound that grow, with at least two that put."""
    for queue in window.queues:
        if queue.last.most or queue.pool is not None or queue.size < MIN_ITEMS:
            continue
        grown, least = queues.growth(queue.longer(GROWING_NS))
        putting = _queues.users(window, queue, _queues.PUT)
        if least > 0 and len(putting) >= MIN_PRODUCERS:
            line = _Line(queue.last.name, queue, put=putting[0][2], growing=grown)
            for thread, _, _ in putting:
                line.producers[thread.tid] = []
            yield line


def _consumers(window: Window, line: _Line) -> list[tuple[ThreadWindow, Stack, Frame]]:
    """The threads that take from the queue, with a stack and the line that does."""
    if line.queue is not None:
        found = _queues.users(window, line.queue, _queues.GET)
        blocked = _queues.waits(window, line.queue, _queues.GET)
        known = {t.tid for t, _, _ in found}
        for thread in window.threads:
            if thread.tid in blocked and thread.tid not in known:
                stack = blocked[thread.tid][0].run.stack
                call = _queues.call_of(stack)
                if call is not None:
                    found.append((thread, stack, call.caller))
        return found
    found = []
    for thread in window.threads:
        for stack in {id(c.stack): c.stack for c in thread.wait_profiles}.values():
            own = next((f for s, n, f in _queues.named_by(stack) if s == _queues.GET and n == line.name), None)
            if own is not None:
                found.append((thread, stack, own))
                break
    return found


def _one(window: Window, line: _Line, thread: ThreadWindow, stack: Stack, get: Frame) -> Observation:
    share = thread.share(*_queues.ACTIVE)
    running = thread.share(State.RUNNING)
    busy = evidence.heaviest_in(thread.wait_profiles, *_queues.ACTIVE) or stack
    producers = tuple(line.producers)
    wall = max(1, window.end_ns - window.start_ns)
    blocked = sum(p.ns for slices in line.producers.values() for p in slices) / wall
    episodes = sum(len(slices) for slices in line.producers.values()) or window.samples
    name = _queues.name_of(line.queue) if line.queue is not None else line.name
    waiting = (
        f"{blocked:.1f} of {len(producers)} producers on average wait for room in {name}"
        if blocked
        else f"{name} grows by {line.growing:.0f} items a second"
    )
    where = tuple(evidence.at(f) for f in (get, line.put) if f is not None)
    return Observation(
        subject=line.queue.key if line.queue is not None else line.name,
        value=share,
        lower=share,  # CPU time and run-queue delay are counted by the kernel
        samples=evidence.samples_in(window, sum(thread.nanoseconds)),
        episodes=episodes,
        confidence=Confidence.EXACT if line.queue is not None else Confidence.INFERRED,
        label=name,
        title=f"Everything in {name} passes through {thread.name}",
        summary=(
            f"{thread.name} alone takes from {name} ({evidence.frame_spot(get)}) and computes {percent(share)} of its "
            f"time ({percent(running)} on a CPU), mostly at {evidence.frame_spot(busy.leaf)}; meanwhile {waiting}."
        ),
        gain=_gain(window, line, thread, share),
        check_next=f"Does {evidence.frame_spot(busy.user_leaf)} need other items than its own? If not, it can move.",
        where=tuple(dict.fromkeys((*evidence.places(busy), *where)))[:4],
        threads=(thread.tid, *producers),
        stacks=evidence.shown("consumer", thread.tid, thread.name, busy, f"computes {percent(share)} of its time")
        + tuple(
            one
            for tid, slices in list(line.producers.items())[:2]
            for one in evidence.shown(
                "producer", tid, window.name(tid), evidence.heaviest((p.run.stack, p.ns) for p in slices)
            )
        ),
        explains=(("unbounded-queue", line.queue.key),) if line.queue is not None and line.growing else (),
    )


def _gain(window: Window, line: _Line, thread: ThreadWindow, share: float) -> str:
    rate = line.queue.get_rate if line.queue is not None else None
    text = f"{rate:.0f} items a second pass, {share * 1000 / rate:.3g} ms of {thread.name} each. " if rate else ""
    cores = min(window.cpus, len(line.producers) + 1)
    return text + (
        f"Shared out over {cores:g} CPUs, up to {cores:g} x as many, if the work can be done apart and without the GIL."
        if cores > 1
        else "There is one CPU: only less work an item helps."
    )


RULE = AggregatorBottleneck()
