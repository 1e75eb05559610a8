"""A Lock, an RLock: whoever holds it. By its address where that is read, else by the expression it is taken by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from concview.analysis.blame.kinds._ways import ELSEWHERE, check_tree, in_tasks, on_the_way, would
from concview.analysis.blame.kinds.signal import no_work
from concview.analysis.blame.nouns import QUIET, End, Link, Node, Part, Root, Settle, Via
from concview.analysis.blame.ties import Ties, still, ties
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.classify import BLOCKING_VIA, IDLE_VIA
from concview.analysis.known_places import MANAGERS, bare, is_file
from concview.model import BETWEEN_PROCESSES, Confidence, State

_ITSELF = "this thread has it itself, from further out in its own stack"
_GIVES = frozenset({"release", "exit"})
_OTHER = frozenset({*BLOCKING_VIA, *IDLE_VIA, "native", "import", "database", "pool"})

#: It has been so since anybody looked, give or take what the first samples take.
_FIRST_NS = 100_000_000


class Lock:
    order: ClassVar[int] = 58
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.LOCK and look.via not in _OTHER

    def follow(self, waiter: Waiter) -> Root | Link | None:
        address, site = waiter.wait.lock, waiter.run.classification.site
        if not address and site is None:
            return None
        moment, same = waiter.moment, waiter.same
        what = site.expression if site is not None and site.expression else (waiter.wait.lock_kind or "a lock")
        semaphore = waiter.world.kernel.semaphores.of(moment, waiter.tid)
        # One that several processes have is nobody's own.
        shared = waiter.wait.lock_kind.startswith(BETWEEN_PROCESSES) or semaphore is not None
        if shared and waiter.wait.lock_kind and what != waiter.wait.lock_kind:
            what = f"{what}, a {waiter.wait.lock_kind}"
        exact = [t for t in moment.holders.get(address, ()) if t != waiter.tid] if address else []
        if exact:
            return waiter.link(Via.LOCK, what, exact, Confidence.EXACT, settle=_followers(waiter, exact))
        if address and waiter.wait.lock_kind == "Lock" and not waiter.wait.timed and moment.holders.get(address):
            return waiter.link(Via.LOCK, what, [], Confidence.EXACT, waiter.end(End.CYCLE, f"{what}: {_ITSELF}"))
        guessed = moment.inferred_holders.get(site.key, ()) if site is not None else ()
        others = [t for t in guessed if t not in same]
        told = ties(waiter)
        if told is not None:
            recorded = told.row.owner
            if recorded != waiter.tid and still(moment, recorded, told.at_ns):
                return waiter.link(Via.LOCK, what, [recorded], Confidence.EXACT, settle=_followers(waiter, [recorded]))
            others = [t for t in told.have if t not in same] or others
            # Who waits here by a line that also gives back has no use for one that took it and is gone on: a mutex.
            took = [t for t in dict.fromkeys(told.took) if t not in same]
            if took and not others and (sign := _as_a_sign(waiter, told, what)) is not None:
                return sign
            others = others or took
            if not others and not waiter.wait.timed and _has_itself(waiter, told):
                return waiter.link(Via.LOCK, what, [], otherwise=waiter.end(End.CYCLE, f"{what}: {_ITSELF}"))
        others = others or in_tasks(waiter)
        if others and all(t < 0 for t in others) and {moment.tasks.thread(t) for t in others} == {waiter.tid}:
            who = waiter.world.name(others[0])
            circle = f"{what}: the task {who} has it across an `await`, and needs this thread's event loop to go on"
            return waiter.link(Via.LOCK, what, [], otherwise=waiter.end(End.CYCLE, circle))
        if not others and site is not None and "[" in site.expression:
            others = _of_a_table(waiter)
        if not others and not shared:
            others = _by_callers(waiter)
        mutex = told is not None and _pairs(waiter, told)
        if address and not others and not shared and not mutex and self._parked(waiter):
            return waiter.end(End.IDLE, "parks at a lock of its own until somebody has work for it")
        elsewhere = (told is not None and not told.row.owner) or (
            semaphore is not None and semaphore.known and semaphore.count <= 0
        )
        if shared and not others and elsewhere:
            # What this process has taken of it its own object counts.
            if _turn(waiter.look):
                turn = "its turn at a queue between processes: another one has it and waits for an item, or has ended"
                return waiter.end(End.PEER, f"{turn} with it ({check_tree(waiter)})")
            if semaphore is not None and semaphore.sharers == 0:
                nobody = waiter.end(End.NOBODY, "no other process has it any more: who took it has ended with it")
                return waiter.link(Via.LOCK, what, [], otherwise=nobody, told=True)
            end = waiter.end(End.PEER, f"{ELSEWHERE} ({check_tree(waiter)})")
            return waiter.outside(Via.LOCK, what, Confidence.INFERRED, end)
        if not others and _lent(waiter.look):
            client = f"another of this Manager's clients, maybe one that has ended ({check_tree(waiter)})"
            lends = f"a {what} that this Manager's process lends"
            return waiter.outside(Via.LOCK, lends, Confidence.INFERRED, waiter.end(End.PEER, client))
        unseen = "no thread of this process is seen to hold it"
        if shared:
            unseen += f", and who else does is not recorded in it ({check_tree(waiter)})"
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: {unseen}")
        if told is not None and not shared and _lost(waiter, told):
            otherwise = waiter.end(
                End.NOBODY, "no thread of this process has it: it was taken before a fork, or by one that has ended"
            )
        return waiter.link(Via.LOCK, what, others, otherwise=otherwise, settle=_followers(waiter, others))

    @staticmethod
    def _parked(waiter: Waiter) -> bool:
        """Only this thread was ever seen at the lock, nobody ever seen to hold it, and it is woken now and then. Not in
        a `with`: what is taken there is given back by whoever took it, and nobody parks so. Nor where there is no other
        thread that could wake it."""
        site = waiter.run.classification.site
        if (site is not None and site.how == "with") or _alone(waiter) or _lent(waiter.look):
            return False
        seen, address = waiter.world.seen, waiter.wait.lock
        run = waiter.run
        late = run.before_ns < 0 and run.start_ns > waiter.world.history.first_ns + _FIRST_NS
        began = late or run.woken is not None
        return began and seen.waiters.get(address, set()) <= {waiter.tid} and not seen.holders.get(address)


def _as_a_sign(waiter: Waiter, told: Ties, what: str) -> Root | Link | None:
    """Of a lock that was taken for others to give it back: a function that does not take it releases it, as one sets an
    Event. Who took it, and has nothing more to do with it, is not in the way; who comes by the release is. None: it is
    no such lock."""
    frame, source = waiter.frame, waiter.source
    _, on = source.waited(frame.function, frame.line)
    givers = source.givers(on) if on else frozenset()
    if not givers:
        return None
    owners, makers = on_the_way(waiter, on, "acquire")
    others = [t for t in dict.fromkeys((*owners, *makers)) if t not in waiter.same]
    if others:
        return waiter.link(Via.SIGNAL, what, others, settle=no_work(waiter, on, others))
    sites = would({key: lines for key, lines in source.wakers(on, "acquire").items() if key[0] in givers})
    said = f"{sites} would release it, no thread is there"
    site = waiter.run.classification.site
    if site is not None and site.how == "with" and _searched(waiter, told):
        return waiter.link(Via.LOCK, what, [], otherwise=waiter.end(End.NOBODY, said))
    return waiter.end(End.DORMANT, f"{what}: {said}")


def _has_itself(waiter: Waiter, told: Ties) -> bool:
    """Whether it waits for a lock that is no RLock and that a function further out in its own stack has yet to give
    back, by the source."""
    row, frames = told.row, waiter.look.stack.frames
    if row.kind != "Lock" or row.value != 1 or not row.complete or row.more:
        return False
    asks = next((i for i, f in enumerate(frames) if f.origin == "user"), 0)
    outer = {(f.file, f.function) for f in frames[asks + 1 :]}
    mine = [r for r in row.references if r.tid == waiter.tid and r.source and r.past and r.part != "head"]
    return any(r.will in _GIVES and (r.file, r.function) in outer for r in mine)


def _lent(look: Look) -> bool:
    """Whether the process of a multiprocessing.Manager takes it for somebody who asked."""
    return look.stack.leaf is not None and is_file(look.stack.leaf, MANAGERS)


def _of_a_table(waiter: Waiter) -> list[Node]:
    """`locks[key].acquire()`: no variable leads to it, and one who is past that line may have another one of the table.
    Where there is one alone who is, and has yet to give it back, it has this one."""
    method, on = waiter.source.waited(waiter.frame.function, waiter.frame.line)
    owners = on_the_way(waiter, on, method)[0] if on and method == "acquire" else []
    return owners if len(owners) == 1 else []


def _by_callers(waiter: Waiter) -> list[Node]:
    """A lock that one method takes and another one gives back, as the beginning and end of a transaction do: the one
    thread that stands further on in a function which called the first, and has yet to call the other."""
    frame, source = waiter.frame, waiter.source
    method, on = source.waited(frame.function, frame.line)
    here = source.function_at(frame.function, frame.line)
    if method != "acquire" or here is None or any(c.method == "release" and c.on == on for c in here.calls):
        return []
    ends = {name for name, _ in source.wakers(on, "acquire")}
    for outer in waiter.look.own:
        if outer == frame:
            continue
        function = waiter.world.file(outer.file).function_at(outer.function, outer.line)
        last = max((c.line for c in function.calls if c.method in ends), default=0) if function is not None else 0
        if last <= outer.line:
            continue
        standing = waiter.moment.standing.get((outer.file, outer.function), ())
        found = [t for t, line in standing if outer.line < line <= last and t not in waiter.same]
        return found if len(found) == 1 else []
    return []


def _turn(look: Look) -> bool:
    """Whether it takes from a queue of multiprocessing, at whose pipe one process reads at a time: that is no fault."""
    return any(bare(f.function) == "get" and is_file(f, "multiprocessing/queues.py") for f in look.stack.frames[:4])


def _alone(waiter: Waiter) -> bool:
    """Whether it is the only thread of its process, native ones included: nobody else can give back anything."""
    return len(waiter.world.history.threads) == 1


def _lost(waiter: Waiter, told: Ties) -> bool:
    """It is locked, every frame was searched, and nobody has it or will come by its release. acquire() without a
    release() behind it may well be a way to wait for a signal, which somebody gives by release()."""
    site, row = waiter.run.classification.site, told.row
    taken = site is not None and (site.how == "with" or _pairs(waiter, told) or _alone(waiter))
    nobody = row.value == 1 and not (told.have or told.make or told.took)
    return taken and nobody and _searched(waiter, told) and not _passed_on(waiter)


def _passed_on(waiter: Waiter) -> bool:
    """Whether a thread that lives was seen with it since this wait began. It has given it back, then, and if it is
    taken another one got it: threads are searched one after the other, and meanwhile a lock changes hands."""
    address, threads = waiter.wait.lock, waiter.world.history.threads
    for tid in waiter.world.seen.holders.get(address, set()):
        thread = threads.get(tid)
        for run in reversed(thread.runs) if thread is not None and not thread.gone_ns else ():
            if run.end_ns and run.end_ns <= waiter.run.start_ns:
                break
            if any(hold.lock == address for hold in run.holds):
                return True
    return False


def _searched(waiter: Waiter, told: Ties) -> bool:
    """Whether all frames were searched for it. Those of tasks are not: a coroutine may have it across an `await`. And
    before this wait somebody may have been seen at another lock, which lay there."""
    return told.row.complete and not waiter.moment.tasks.runs and still(waiter.moment, waiter.tid, told.at_ns)


def _pairs(waiter: Waiter, told: Ties) -> bool:
    """Whether the function that waits gives it back itself, further down: it does not wait for a signal."""
    return any(r.tid == waiter.tid and r.source and r.will == "release" for r in told.row.references)


def _followers(waiter: Waiter, others: Sequence[int]) -> Settle:
    """Leader and followers: whoever holds the lock waits for work at the place to which the others want to come."""

    def settle(parts: Sequence[Part]) -> Root | None:
        if not all(p.root.kind in QUIET and len(p.path) == 1 for p in parts):
            return None
        functions = waiter.look.functions
        leaders = [waiter.moment.look(o) for o in others if o in waiter.moment.runs]
        if leaders and all(functions & leader.functions for leader in leaders):
            return waiter.end(End.IDLE, "its turn to wait for work has not come: another one waits with the lock")
        return None

    return settle


KIND = Lock()
