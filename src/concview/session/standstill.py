"""Processes in which everybody waits for what only another one of them could give: it does not come.

A process with its workers is looked at as a whole. Each of them alone is idle, as it is between two pieces of work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from concview.analysis.known_places import (
    asks_manager,
    bare,
    between_processes,
    is_file,
    is_pool_result,
    is_pool_worker,
    serves_client,
)
from concview.model import Role, Stack, State
from concview.session.side import Side
from concview.snapshot import Snapshot, ThreadView
from concview.text import plural, waits

#: What nobody has done anything for so long does not come, seconds.
STANDS_S = 5.0
#: Queues between processes: multiprocessing's, and those of who copied it.
_QUEUES = ("multiprocessing/queues.py", "billiard/queues.py")
#: Innermost frames in which a call of a queue is looked for.
_DEPTH = 5
_WORDS = {
    "Event": (" to be set", "nobody will set it"),
    "Semaphore": ("", "nobody will give it. One that was killed takes with it what it had taken"),
    "Condition": (" to be notified", "nobody will notify it"),
    "Barrier": (" to be reached by others", "nobody is left to come. One that has ended does not"),
}
#: What a thread of a Manager's process waits for in place of a client, by the method it is in.
_LENT = {
    "Queue.get": ("an item of a Manager's queue", "to put one there"),
    "Queue.put": ("room in a Manager's queue", "to take something out"),
    "Queue.join": ("all items of a Manager's queue to be done", "to report them"),
    "Event.wait": ("a Manager's Event to be set", "to set it"),
    "Barrier.wait": ("a Manager's Barrier to be reached by others", "to come"),
    "Condition.wait": ("a Manager's Condition to be notified", "to notify it"),
}
_LOST = "A worker that is killed takes with it what it had taken"


#: (pid, tid): a thread of any of the processes.
Node = tuple[int, int]
#: By key of a semaphore, the processes that have it.
Sharers = Callable[[Collection[str]], Mapping[str, frozenset[int]]]


@dataclass(frozen=True, slots=True)
class Never:
    """Threads of one process that wait for what does not come."""

    waiters: tuple[Node, ...]
    workers: tuple[int, ...]  #: pids of those that it would come from
    why: str  #: what it is, and why it does not come
    sure: bool = True  #: nobody else can help: else another service might


def never(sides: Mapping[int, Side], sharers: Sharers | None, known: Collection[Node]) -> Iterable[Never]:
    """`sharers`: see `across.look`. `known`: threads of which it is told by other means that nobody can help them."""
    for pid, side in sides.items():
        # Those of a fork server are below it.
        parents = {pid, *(w.pid for w in side.workers if w.role is Role.HELPER and w.parent == pid)}
        workers = [w.pid for w in side.workers if w.role is Role.WORKER and w.parent in parents]
        if workers and all(w in sides for w in workers):
            found = (
                _pool(pid, workers, sides)
                or _queue(pid, workers, sides)
                or _jobs(pid, workers, sides)
                or _lent(pid, workers, sides)
                or (_semaphores(pid, workers, sides, sharers, known) if sharers is not None else None)
            )
            if found is not None:
                yield found


def _pool(pid: int, workers: list[int], sides: Mapping[int, Side]) -> Never | None:
    """Nobody in the process that waits does anything for it either: what a generator yields becomes tasks, too."""
    threads = _threads(sides[pid].snapshot)
    waiting = [t for t in threads if _is_idle(t) and not t.wait.timed and is_pool_result(t.stack)]
    still = all(_is_idle(t) for t in threads) and all(_is_free(sides[w].snapshot) for w in workers)
    if not waiting or not still:
        return None
    number = len(workers)
    why = (
        f"the result of a task, and {plural(number, 'worker')} of the pool {waits(number)} for work: it will not "
        "come. A worker that is killed takes its task with it, and the pool starts another one"
    )
    return Never(tuple((pid, t.tid) for t in waiting), tuple(workers), why)


def _is_free(snapshot: Snapshot) -> bool:
    """Whether it is a process of a pool, and all it does is to wait for work."""
    threads = _threads(snapshot)
    return bool(threads) and all(_is_idle(t) for t in threads) and any(is_pool_worker(t.stack) for t in threads)


def _queue(pid: int, workers: list[int], sides: Mapping[int, Side]) -> Never | None:
    """It waits at a queue that its workers would put something into, or report items of, and they wait for something to
    come out of a queue themselves. Nobody else does anything, and no other process has a queue of theirs."""
    threads = _threads(sides[pid].snapshot)
    waiting = [t for t in threads if in_queue(t.stack, "get", "join")]
    family = {pid, *workers}
    others = [t for w in workers for t in _threads(sides[w].snapshot)]
    if (
        not waiting
        or any(t.wait.timed or not _stands(t) for t in waiting)
        or not all(in_queue(t.stack, "get", "join", "_feed") and _stands(t) for t in (*threads, *others))
        or not all(any(in_queue(t.stack, "get") for t in _threads(sides[w].snapshot)) for w in workers)
        or not _among_themselves(family, sides)
    ):
        return None
    number = len(workers)
    those = f"{plural(number, 'worker')} of this process {waits(number)} for something to do"
    if any(in_queue(t.stack, "join") for t in waiting):
        why = (
            f"all items of a queue between processes to be reported as done, and {those}: nobody will report them. "
            f"{_LOST}, and one that fails before task_done() leaves it unreported"
        )
    else:
        why = f"something to come out of a queue between processes, and {those}: nobody will put it there. {_LOST}"
    return Never(tuple((pid, t.tid) for t in waiting), tuple(workers), why)


def _among_themselves(family: set[int], sides: Mapping[int, Side]) -> bool:
    """Whether the pipes that they wait at have no end in another process. Of several that wait at one queue, one waits
    at its pipe, the others for their turn."""
    pipes = [link for pid in family for link in sides[pid].links if link.reads and link.kind == "pipe" and link.waiters]
    return bool(pipes) and all(p.complete and {o.pid for o in p.owners} <= family for p in pipes)


def _semaphores(
    pid: int, workers: list[int], sides: Mapping[int, Side], sharers: Sharers, known: Collection[Node]
) -> Never | None:
    """Each of them waits for one of the others: at a semaphore, a Condition or a Barrier of multiprocessing, at a queue
    or for the end of a worker. An Event may be set by a signal handler, and mostly is, where there is one."""
    family = {pid, *workers}
    handled = any(sides[one].caught for one in family)
    keys = {s.key for one in family for s in sides[one].semaphores if s.waiters}
    waiting: dict[str, list[Node]] = {}
    for one in sorted(family):
        at = {tid for s in sides[one].semaphores for tid in s.waiters}
        ends = {tid for c in sides[one].children if c.pid in family for tid in c.waiters}
        for thread in _threads(sides[one].snapshot):
            kind = between_processes(thread.stack)
            within = in_queue(thread.stack, "get", "join", "put", "_feed") or thread.tid in ends
            if (
                thread.wait.timed
                or not _stands(thread)
                or (kind == "Event" and handled)
                or not (kind or within or thread.tid in at)
            ):
                return None
            if not within and (one, thread.tid) not in known:
                waiting.setdefault(kind or "Semaphore", []).append((one, thread.tid))
    if not waiting or not keys:
        return None
    pipes = any(k.reads and k.kind == "pipe" and k.waiters for one in family for k in sides[one].links)
    having = sharers(keys)
    if (pipes and not _among_themselves(family, sides)) or any(not having.get(k, {0}) <= family for k in keys):
        return None
    kind, those = max(waiting.items(), key=lambda item: len(item[1]))
    row = next((s for s in sides[those[0][0]].semaphores if those[0][1] in s.waiters), None)
    what, lost = _WORDS[kind]
    name = row.kind if kind == "Semaphore" and row is not None and row.kind else kind
    why = f"a multiprocessing.{name}{what}, and all {len(family)} processes that have it wait: {lost}"
    return Never(tuple(those), tuple(workers), why)


def _lent(pid: int, workers: list[int], sides: Mapping[int, Side]) -> Never | None:
    """Some wait for what the process of a Manager gives them, its threads wait in their place for what another client
    gives, and all others wait for the end of one of these."""
    family = {pid, *workers}
    waiting: list[Node] = []
    lent: tuple[str, str] | None = None
    for one in sorted(family):
        ends = {tid for c in sides[one].children if c.pid in family for tid in c.waiters}
        threads = _threads(sides[one].snapshot)
        serving = [t for t in threads if serves_client(t.stack) and _is_idle(t)]
        if serving and all(t.state is State.IDLE for t in threads):
            lent = lent or next((w for t in serving for call, w in _LENT.items() if _calls(t.stack, call)), None)
            continue
        for thread in threads:
            asks = asks_manager(thread.stack)
            if thread.wait.timed or not _stands(thread) or not (asks or thread.tid in ends):
                return None
            if asks:
                waiting.append((one, thread.tid))
    if not waiting or lent is None:
        return None
    what, left = lent
    why = f"{what}, and all {len(family)} processes of this service wait: nobody is left {left}"
    return Never(tuple(waiting), tuple(workers), why)


def _calls(stack: Stack, call: str) -> bool:
    """Whether it waits in that method of the standard library, 'Queue.get'."""
    return any(f.function == call and f.origin == "stdlib" for f in stack.frames[:_DEPTH])


def _jobs(pid: int, workers: list[int], sides: Mapping[int, Side]) -> Never | None:
    """All its workers are in jobs that wait for results of other jobs of the same library, and no thread of theirs is
    left to take one."""
    waiting: list[Node] = []
    names: set[str] = set()
    for worker in workers:
        those = {tid: w for tid, w in sides[worker].awaits.items() if w[1] >= STANDS_S}
        if not those or len(those) < len(sides[worker].awaits):
            return None
        waiting += [(worker, tid) for tid in those]
        names |= {name for name, _ in those.values()}
    if len(names) != 1:
        return None
    name = names.pop()
    every = f"do all {len(workers)} workers" if len(workers) > 1 else "does the only worker"
    why = (
        f"the result of another {name} job, and so {every} of process {pid}: none is left to start it. It goes on only "
        "if a worker of another process serves the same queue"
    )
    return Never(tuple(waiting), tuple(workers), why, sure=False)


def _threads(snapshot: Snapshot) -> list[ThreadView]:
    return [t for t in snapshot.threads if t.alive and not t.native]


def _is_idle(thread: ThreadView) -> bool:
    return thread.state is State.IDLE and thread.since_s >= STANDS_S


def _stands(thread: ThreadView) -> bool:
    return thread.state in (State.IDLE, State.IO, State.LOCK) and thread.since_s >= STANDS_S


def in_queue(stack: Stack, *calls: str) -> bool:
    """Whether it waits in one of these methods of a queue between processes: 'get', 'put', 'join', '_feed'."""
    return any(bare(f.function) in calls and any(is_file(f, q) for q in _QUEUES) for f in stack.frames[:_DEPTH])
