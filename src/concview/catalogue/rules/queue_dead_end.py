"""A queue that nobody works off any more, and threads that wait for it.

What it sees:
    Threads that wait for room in a full queue whose only readers wait for room in it themselves; or a thread in
    Queue.join() for items that nobody is left to take or to report as done.

Why it hurts:
    Nothing in the program can end this wait. A consumer that puts into the queue it reads from works until the queue
    is full for the first time, under load; a worker that fails before task_done() leaves join() waiting for ever.

How it is measured:
    The queue's items, bound and unfinished tasks are read from memory, and every frame of every thread that refers to
    it. Who takes something out is told by the source of these frames, and by who was seen to. Nothing may move for
    five seconds [D: neither side can; the time excludes a hand-over]. Where the queue's own reader waits for room, or
    for join(), the score is 95; where no reader is seen it is INFO. Demo pair: for ever (bad), never
    (fixed).

Fix:
    Let a consumer never wait for room in its own queue; report every item as done, also one that failed.

        try: work(item)
        finally: jobs.task_done()            # or join() waits for ever

        more.append(follow_up)               # instead of jobs.put(follow_up) in the consumer

When it is fine:
    A reader that is not a thread yet: one that will be started later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.known_places import serves_client
from concview.analysis.window import WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.catalogue.rules._kinds import is_of
from concview.model import Concern, Confidence, Related
from concview.text import duration, plural, waits

_TAKES = frozenset({"get", "get_nowait"})
_VIA = frozenset({"Queue.put", "Queue.join"})


class QueueDeadEnd:
    id: ClassVar[str] = "queue-dead-end"
    title: ClassVar[str] = "Threads wait for a queue that nobody serves"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(5.0, 5.0, "s", "[D] nobody can move; the time excludes a hand-over")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time that nothing has moved"
    concern: ClassVar[Concern] = Concern.GIVER
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            if crowd.stuck and _between_processes(crowd):
                yield _outside(crowd)
                continue
            queue = _crowd.related(window, crowd)
            if not crowd.stuck or queue is None or not queue.complete:
                continue
            if crowd.waits[0][1].run.classification.via == "Queue.join":
                observation = _join(window, crowd, queue)
            else:
                observation = _full(window, crowd, queue)
            if observation is not None:
                yield observation


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    via = profile.classification.via
    leaf = profile.stack.leaf
    between = leaf is not None and is_of(leaf, "multiprocessing/queues.py")
    if via not in _VIA or profile.wait.timed or not (profile.wait.lock or between):
        return None
    key, name = _crowd.named(profile, "a queue")
    return f"{key} {via}", name


def _between_processes(crowd: Crowd) -> bool:
    if crowd.stack is None or crowd.stack.leaf is None:
        return False
    return is_of(crowd.stack.leaf, "multiprocessing/queues.py") or serves_client(crowd.stack)


def _outside(crowd: Crowd) -> Observation:
    """Who takes something out is another process, of which nothing is known here but that it has not for so long."""
    asks = next((f for f in crowd.stack.frames if f.origin == "user"), None) if crowd.stack is not None else None
    return _observation(
        crowd,
        "the queue",
        f"{crowd.who} {waits(len(crowd.tids))} for room in a queue between processes, in "
        f"{evidence.frame_spot(asks or crowd.frame)}, for {duration(crowd.least)}: no process has taken "
        "anything out of it for so long",
        "No process takes anything out of a full queue",
        False,
        "Which process reads this queue? Is it alive, and what does it wait for: look at it with concview, too.",
    )


def _readers(window: Window, queue: Related) -> set[int]:
    """Who takes something out: by the source of its frames, or seen at it."""
    seen = {
        t.tid
        for t in window.threads
        for p in t.wait_profiles
        if p.wait.lock == queue.address and p.classification.via == "Queue.get"
    }
    return {r.tid for r in queue.references if r.will in _TAKES} | {tid for tid in seen if _alive(window, tid)}


def _alive(window: Window, tid: int) -> bool:
    thread = window.thread(tid)
    return thread is not None and thread.alive


def _full(window: Window, crowd: Crowd, queue: Related) -> Observation | None:
    readers = _readers(window, queue)
    if readers - set(crowd.stuck) or (queue.most > 0 and 0 <= queue.value < queue.most):
        return None
    name = queue.name or crowd.name
    own = sorted(readers)
    if own:
        who = evidence.who(window, own)
        why = f"only {who} {'takes' if len(own) == 1 else 'take'} something out of it, and "
        why += "waits for room itself" if len(own) == 1 else "wait for room themselves"
    else:
        why = "no thread is seen that would take something out of it"
    return _observation(
        crowd,
        name,
        f"{crowd.who} wait for room in {name} in {crowd.spot} for {duration(crowd.least)} and longer: {why}. It holds "
        f"{queue.value} of {queue.most}",
        "Nobody takes anything out of " + name,
        bool(own),
        f"Who reads {name}? It must never wait for room in it: give follow-up work a queue of its own, or keep it.",
    )


def _join(window: Window, crowd: Crowd, queue: Related) -> Observation | None:
    if queue.unfinished == 0:
        return None
    readers = _readers(window, queue) - set(crowd.tids)
    waiting = {
        t.tid
        for t in window.threads
        for p in t.slices[-1:]
        if p.run.wait.lock == queue.address and p.run.classification.via == "Queue.get"
    }
    if readers - waiting or (readers and queue.value > 0):
        return None  # somebody is at work on an item, or about to be
    name = queue.name or crowd.name
    lost = max(0, queue.unfinished - max(0, queue.value))
    if readers:
        left = f"its {plural(len(readers), 'worker')} wait for the next item, so task_done() was not called for them"
    else:
        left = "no thread is left that takes something out of it"
    told = f"{plural(queue.unfinished, 'item')} not reported as done" if queue.unfinished > 0 else "items not done"
    holds = f" ({queue.value} still in it, {lost} taken out)" if queue.value >= 0 and queue.unfinished > 0 else ""
    return _observation(
        crowd,
        name,
        f"{crowd.who} {waits(len(crowd.tids))} in {name}.join() in {crowd.spot} for "
        f"{duration(crowd.least)}: {told}{holds}, and {left}",
        f"{name}.join() waits for what nobody will finish",
        True,
        "Which worker ended, or failed, without task_done()? Its traceback is in the log or in threading.excepthook.",
    )


def _observation(crowd: Crowd, name: str, summary: str, title: str, certain: bool, check: str) -> Observation:
    return replace(
        crowd.for_ever(Confidence.INFERRED, 95 if certain else None),
        label=name,
        title=title,
        summary=summary + ".",
        check_next=check,
        stacks=crowd.evidence(4),
        explains=(("lock-contention", crowd.key.partition(" ")[0]),),
    )


RULE = QueueDeadEnd()
