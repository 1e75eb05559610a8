"""Every worker of a server, or of a pool, has stood in one wait for seconds, and nobody is left for what comes next.

What it sees:
    All threads that serve connections, each waiting for a client that sends nothing (or for another peer), while
    nobody accepts or while connections and tasks queue up. Likewise all workers of an executor, each in one wait that
    does not end, with tasks in its queue.

Why it hurts:
    A server with four workers serves four clients at a time, even if they send nothing: four idle connections are
    enough to keep everybody else out. Nothing computes, nothing is logged, and a look at the CPU says that all is well.

How it is measured:
    Every thread of the group is in one wait without a break for five seconds [H: no request of a healthy program takes
    so long everywhere at once], read from the kernel. A group is the workers of an executor that has started all its
    threads, or threads that run the same function. That others wait is read: tasks in the queue, connections that the
    kernel holds at the port and nobody has accepted. Then the score is 90; where nobody waits yet it is INFO.
    Demo pair: for ever (bad), never (fixed).

Fix:
    Give every wait for a client a limit, and wait for many of them in one thread.

        connection.settimeout(10)                 # the worker is free again after that
        asyncio.start_server(handle, ...)         # or selectors: a client that says nothing costs no thread

    Behind a proxy that buffers requests a few workers are enough.

When it is fine:
    As many clients as workers, that stay connected and of whom no more are expected.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from concview.analysis.known_places import SHUTS_EXECUTORS, among
from concview.analysis.queues import QueueWindow
from concview.analysis.records import Run
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import CONNECTED, pooled
from concview.model import Confidence, Frame, Stack, State, WaitKind
from concview.source.calls import THREADING
from concview.source.origin import is_module
from concview.text import duration, plural

STANDS_S = 5.0
MIN_THREADS = 2
#: Of the workers, so many are named, and the stacks of so many shown.
MOST_NAMED, MOST_SHOWN = 50, 3
_READS = frozenset({"read", "readv", "recvfrom", "recvmsg", "poll", "ppoll", "select", "pselect6"})
#: Waits of a worker that has nothing to do.
_FOR_WORK = frozenset({"work", "Queue.get", "SimpleQueue.get", "select", "accept"})


@dataclass(slots=True)
class _Group:
    name: str
    threads: list[ThreadWindow]
    queue: QueueWindow | None = None  #: out of which its threads take what they do
    executor: bool = False


class AllWorkersBusy:
    id: ClassVar[str] = "all-workers-busy"
    title: ClassVar[str] = "No worker is free"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(STANDS_S, STANDS_S, "s", "[H] no healthy request takes so long")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time in which no worker has moved"

    def observe(self, window: Window) -> Iterable[Observation]:
        for group in _groups(window):
            runs = [r for t in group.threads if (r := t.history.current) is not None]
            if len(runs) < len(group.threads) or not runs:
                continue
            stood = (window.end_ns - max(r.since_ns for r in runs)) / 1e9
            if stood < STANDS_S:
                continue
            clients = sum(_at_a_client(r) for r in runs)
            if clients * 2 > len(runs):
                waiting = _waiting(window, group)
                open_ended = not waiting and (len(runs) < MIN_THREADS or _may_grow(window, group))
                if clients == len(runs) and not open_ended:
                    yield _server(window, group, runs, stood, waiting)
            elif group.executor and group.queue is not None and group.queue.size > 0 and all(map(_busy, runs)):
                if group.queue.get_rate:
                    continue  # tasks are taken: samples saw each at the same place by chance
                if _shuts(window):
                    continue  # what lies in the queue may be no tasks
                yield _executor(window, group, runs, stood)


# ---------------------------------------------------------------- groups


def _groups(window: Window) -> Iterable[_Group]:
    taken: set[int] = set()
    for queue in window.queues:
        pool = queue.pool
        if pool is None or not pool.most or pool.threads < pool.most:
            continue  # it may still start threads
        workers = [t for t in window.threads if t.tid in pool.workers and t.alive]
        if len(workers) >= pool.most:
            taken |= {t.tid for t in workers}
            yield _Group(f"pool {pool.name}" if pool.name else "a thread pool", workers, queue, True)
    alike: dict[tuple[str, str], list[ThreadWindow]] = defaultdict(list)
    for thread in window.threads:
        if thread.tid not in taken and thread.alive and not pooled(thread):
            entry = _entry(thread.history.current)
            if entry is not None:
                alike[entry.file, entry.function].append(thread)
    for (_, function), threads in alike.items():
        tids = {t.tid for t in threads}
        queue_ = next((q for q in window.queues if q.pool is None and tids <= set(q.last.users)), None)
        yield _Group(function, threads, queue_)


def _entry(run: Run | None) -> Frame | None:
    """The function that a thread was started for."""
    frames = run.stack.frames if run is not None and not run.stack.truncated else ()
    return next((f for f in reversed(frames) if not is_module(f.file, THREADING, f.origin)), None)


# ---------------------------------------------------------------- what they wait for


def _at_a_client(run: Run) -> bool:
    """It waits for what a client will send."""
    peer = run.wait.peer
    return peer is not None and peer.accepted and peer.kind in CONNECTED and run.wait.syscall in _READS


def _busy(run: Run) -> bool:
    """It has something to do, and waits in it."""
    if run.state in (State.RUNNING, State.RUNNABLE, State.GIL, State.UNKNOWN) or run.wait.kind is WaitKind.STOPPED:
        return False
    return run.state is not State.IDLE or run.classification.via not in _FOR_WORK


def _waiting(window: Window, group: _Group) -> str:
    """Who queues for a worker, in words; '' nobody is seen to."""
    if group.queue is not None and group.queue.size > 0:
        return f"{plural(group.queue.size, 'task')} in its queue"
    tids = {t.tid for t in group.threads}
    links = window.history.relations.links(window.end_ns)
    backlog = max((k.backlog for k in links if tids & set(k.waiters)), default=0)
    if backlog > 0:
        return f"{plural(backlog, 'connection')} that nobody has accepted"
    return ""


def _shuts(window: Window) -> bool:
    """Whether a thread ends executors and waits for their workers."""
    runs = (t.history.current for t in window.threads if t.alive)
    return any(among(f, SHUTS_EXECUTORS) for r in runs if r is not None for f in r.stack.frames)


def _may_grow(window: Window, group: _Group) -> bool:
    """Whether a further client may well get a thread of its own: somebody accepts, and these are no pool."""
    if group.executor or group.queue is not None:
        return False
    runs = [r for t in window.threads if t.alive and (r := t.history.current) is not None]
    listens = (r.wait.peer is not None and r.wait.peer.status == "LISTEN" for r in runs)
    return any(r.classification.via in ("accept", "select") for r in runs) or any(listens)


# ---------------------------------------------------------------- what is said


def _standing(group: _Group, runs: list[Run], stood: float, what: str, notes: list[str], samples: int) -> Observation:
    """What is known of workers that stand still, `what` of them in a word; the words for people are added. `notes`
    say of each worker what it waits for."""
    tids = tuple(t.tid for t in group.threads)
    return Observation(
        subject=f"{what} {group.queue.key if group.executor and group.queue is not None else group.name}",
        value=stood,
        lower=stood,
        samples=samples,
        episodes=len(runs),
        confidence=Confidence.EXACT,
        label=group.name,
        where=evidence.places(_mostly(runs)),
        threads=tids[:MOST_NAMED],
        stacks=tuple(
            one
            for thread, run, note in list(zip(group.threads, runs, notes, strict=True))[:MOST_SHOWN]
            for one in evidence.shown("worker", thread.tid, thread.name, run.stack, note)
        ),
    )


def _mostly(runs: list[Run]) -> Stack | None:
    return evidence.heaviest((r.stack, 1) for r in runs)


def _server(window: Window, group: _Group, runs: list[Run], stood: float, waiting: str) -> Observation:
    count = len(runs)
    stack = _mostly(runs)
    spot = evidence.frame_spot(stack.user_leaf if stack is not None else None)
    all_of = f"All {count} workers" if count > 1 else "The only worker"
    peers = [p.name for r in runs if (p := r.wait.peer) is not None]
    some = ", ".join(peers[:3]) + (", …" if len(peers) > 3 else "")
    notes = [evidence.doing(r.wait) for r in runs]
    return replace(
        _standing(group, runs, stood, "server", notes, window.samples),
        title=f"{all_of} of {group.name} {'wait' if count > 1 else 'waits'} for clients that send nothing",
        summary=(
            f"{all_of} ({count} of {count}) of {group.name} {'have' if count > 1 else 'has'} waited for data from "
            f"{'clients' if count > 1 else 'a client'} ({some}) in {spot} for {duration(stood)}, without a break"
            + (f"; meanwhile there are {waiting}." if waiting else "; the next client will find nobody.")
        ),
        gain=f"{plural(count, 'worker')} free again for those who have something to say.",
        check_next="What are these clients: idle keep-alive connections, probes, slow senders? A limit ends each wait.",
        score=90 if waiting else None,
        severity_cap="" if waiting else "info",
        explains=(("pool-oversized", "*"), ("unbounded-queue", group.queue.key if group.queue is not None else "-"))
        + ((("accept-backlog", "*"),) if waiting else ()),
    )


def _executor(window: Window, group: _Group, runs: list[Run], stood: float) -> Observation:
    assert group.queue is not None  # `observe` has looked
    count = len(runs)
    places = Counter(evidence.frame_spot(r.stack.user_leaf) for r in runs).most_common(2)
    reason = Counter(r.classification.reason for r in runs).most_common(1)[0][0]
    where = " and ".join(f"{place} ({n})" for place, n in places)
    notes = [r.classification.reason for r in runs]
    return replace(
        _standing(group, runs, stood, "workers", notes, window.samples),
        title=f"All {count} workers of {group.name} stand still, and tasks queue",
        summary=(
            f"All workers ({count} of {count}) of {group.name} have been in one wait each for {duration(stood)}: "
            f"{reason}, in {where}; {plural(group.queue.size, 'task')} in the queue of the pool have no worker."
        ),
        fix=(
            "Give what they wait for a limit, and keep what may wait long out of a pool that others need.\n\n"
            "    slow = ThreadPoolExecutor(4, 'slow')         # a pool of its own for what may wait long\n"
            "    answer = client.get(url, timeout=5)          # and a limit for each wait"
        ),
        gain=f"{plural(group.queue.size, 'task')} that could begin.",
        check_next=f"What ends the wait at {places[0][0]}? More workers only stand there, too.",
        score=85,
        explains=(("pool-undersized", group.queue.key), ("unbounded-queue", group.queue.key)),
    )


RULE = AllWorkersBusy()
