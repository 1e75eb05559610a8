"""An Event, a Condition: the source says who could wake it, the stacks who is on the way there.

Built on a Condition may be a pool (whoever has been where it waits gives back what it got there), a signal (others
make what it waits for), a queue by hand (whoever would make some work is idle itself), a bell, a gate, a timer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import ClassVar

from concview.analysis.blame.attempts import package
from concview.analysis.blame.kinds._ways import between, inside_block, on_the_way, own_callback, would
from concview.analysis.blame.kinds.work import lies_in_a_queue
from concview.analysis.blame.nouns import End, Link, Node, Part, Root, Settle, Via
from concview.analysis.blame.ties import Ties, ties, without_others
from concview.analysis.blame.ways import Reach
from concview.analysis.blame.world import Look, Waiter, is_machinery
from concview.analysis.known_places import SHUTS_EXECUTORS, TOLD_TO_END, among, bare, is_file, of_a_library
from concview.model import SIGNAL_VIA, State, WaitKind
from concview.source.calls import THREADING
from concview.text import plural

_ENDLESS = SIGNAL_VIA | {"Future.result", "futures.wait"}
#: It has been so since anybody looked, give or take what the first samples take.
_FIRST_NS = 100_000_000
#: Woken so often at one place, and so many times the usual pause ago at most, what it waits for comes now and then.
_TIMES, _LATER = 3, 3.0
#: Of its last runs, and waits, so many are looked at.
_RUNS = 64


class Signal:
    order: ClassVar[int] = 62
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in SIGNAL_VIA and look.wait.kind in (WaitKind.FUTEX, WaitKind.SLEEP)

    def follow(self, waiter: Waiter) -> Root | Link:
        frame, wait = waiter.frame, waiter.wait
        told = ties(waiter)
        if is_machinery(frame) and (told is None or not (told.have or told.make)):
            if _timer(waiter.look):
                return waiter.end(End.PACE, "a timer that is not due")
            if not waiter.look.own and not waiter.look.stack.truncated:
                return waiter.end(End.IDLE, "a thread that does nothing but wait")
            return _nobody(waiter, "", {})
        method, on = waiter.source.waited(frame.function, frame.line)
        method = method or "wait"
        if not on and told is not None:
            on = told.row.name
        if waiter.look.via == "Event.wait" and TOLD_TO_END.search(on.rpartition(".")[2]):
            return waiter.end(End.PACE if wait.timed else End.IDLE, f"waits for {on}, to be told to end")
        inside = inside_block(waiter)
        if inside and frame.origin == "library":
            return waiter.link(Via.RESOURCE, on or "what a `with` gives", inside)
        owners, makers = self._in_the_way(waiter, on, method, told)
        if owners:
            return waiter.link(Via.PERMIT if method == "acquire" else Via.RESOURCE, on, owners)
        if inside:
            return waiter.link(Via.RESOURCE, on or "what a `with` gives", inside)
        of, have = between(waiter)
        if have:
            return waiter.link(Via.RESOURCE, f"what {of} has to give", have)
        loop = waiter.source.loop(frame.function, frame.line)
        if wait.timed and loop is not None and method != "acquire":
            return waiter.end(End.PACE, f"waits for {on or 'a signal'} with a timeout, in a loop")
        if makers:
            return waiter.link(Via.SIGNAL, on, makers, settle=no_work(waiter, on, makers))
        if loop is not None and loop.for_ever:
            return waiter.end(End.IDLE, f"waits for {on or 'a signal'} again and again, which comes now and then")
        return _nobody(waiter, on, waiter.source.wakers(on, method) if on else {})

    @staticmethod
    def _in_the_way(waiter: Waiter, on: str, method: str, told: Ties | None) -> tuple[list[Node], list[Node]]:
        """(those that have it, those that will only make it): of this very object where it is known which one it is."""
        if told is not None and (told.have or told.make):
            have, make = [t for t in told.have if t != waiter.tid], [t for t in told.make if t != waiter.tid]
            if not have and waiter.source.counted(waiter.frame.function, waiter.frame.line, on, method):
                # It gives back what it has counted itself in for, by another method than the one that waits.
                have = [t for t in on_the_way(waiter, on, method)[0] if t in make]
            return (have, make) if have or make else (_counted_in(waiter), [])
        owners, makers = on_the_way(waiter, on, method)
        if not owners and makers and told is not None and lies_in_a_queue(waiter, told):
            return [], makers
        owners, makers = without_others(waiter, on, owners), without_others(waiter, on, makers)
        return (owners or _counted_in(waiter), []) if not makers else (owners, makers)


def _counted_in(waiter: Waiter) -> list[Node]:
    """Those that have changed the count for which it waits, and will change it back in the same function."""
    frame, source = waiter.frame, waiter.source
    loop = source.loop(frame.function, frame.line)
    if loop is None or not loop.test:
        return []
    found: list[Node] = []
    for name, spans in source.within_change(loop.test).items():
        for (file, function), those in waiter.moment.standing.items():
            if file == frame.file and bare(function) == name:
                found += [t for t, line in those for first, last in spans if first < line <= last]
    return _elsewhere(waiter, found)


def _elsewhere(waiter: Waiter, tids: Iterable[Node]) -> list[Node]:
    """Those that do not wait where it does, be it at another object."""
    return [t for t in dict.fromkeys(tids) if t != waiter.tid and waiter.moment.look(t).frame != waiter.frame]


def no_work(waiter: Waiter, on: str, makers: Sequence[int]) -> Settle:
    """Quiet when whoever would make some is idle or paces itself. A pause of the main thread at the end of a program is
    no work that somebody waits for."""
    frame = waiter.frame
    bell = (
        waiter.look.via == "Condition.wait"
        or list(makers) == [waiter.world.main]
        or waiter.source.cleared(frame.function, frame.line, on)
    )
    quiet = {End.IDLE, End.DORMANT, *((End.SLEEP, End.PACE) if bell else ())}

    def settle(parts: Sequence[Part]) -> Root | None:
        direct = all(len(p.path) == 1 for p in parts)
        if direct and all(p.root.kind in quiet and _paces(waiter, p) for p in parts):
            return waiter.end(End.IDLE, f"no work: who would wake {on} is idle or paces itself")
        return None

    return settle


def _paces(waiter: Waiter, part: Part) -> bool:
    """A sleep at the end of a path counts as a pause only where the sleeper itself would call it one."""
    if part.root.kind is not End.SLEEP:
        return True
    said = waiter.moment.answer(part.nodes[-1])
    return isinstance(said, Root) and said.kind is End.PACE


def _nobody(waiter: Waiter, on: str, reach: dict[tuple[str, int], tuple[int, ...]]) -> Root | Link:
    """Nobody is on the way to wake it."""
    what = on or "a signal"
    via = Via.SIGNAL
    if waiter.tid == waiter.world.main and waiter.look.via == "Event.wait":
        # A signal handler may set it, and mostly does; one that notifies a Condition would wait for its lock.
        return waiter.end(End.IDLE, f"the main thread waits for {what}")
    if _all_wait(waiter, reach):
        lost = "each place that would wake it is in a function in which threads wait for it themselves"
        return waiter.link(via, what, [], otherwise=waiter.end(End.NOBODY, lost))
    full = _full_pool(waiter)
    if full and _beside_a_loop(waiter):
        by = f"what comes at the connections of {package(waiter.frame)}'s own event loop, by {would(reach)}"
        return waiter.end(End.PEER, f"{what}: {by}" if reach else f"{what}: {by.partition(', by')[0]}")
    if full:
        return waiter.link(via, what, [], otherwise=waiter.end(End.NOBODY, full))
    circle = (
        _own_thread(waiter, what, reach) or own_callback(waiter, on, "wait") or _other_callback(waiter, what, reach)
    )
    if circle:
        return waiter.link(via, what, [], otherwise=waiter.end(End.CYCLE, circle))
    makers = _given(waiter, reach)
    if makers:
        return waiter.link(via, what, makers, settle=no_work(waiter, on, makers))
    if of_a_library(waiter.look.stack) and not _decorates(waiter):
        return waiter.end(End.IDLE, f"a library's own thread waits for {what}")
    told = ties(waiter)
    tasks = [n for n in told.known if n < 0] if told is not None else []
    if tasks:
        # They have it, by way of what they use: by which of its methods they will come is not known.
        return waiter.link(via, what, tasks, settle=no_work(waiter, on, tasks))
    sites = would(reach)
    # Not all tasks may have been searched.
    there = "no thread is there; a task may come by" if waiter.moment.tasks.runs else "no thread is there"
    said = f"{what}: {sites} would wake it, {there}" if sites else f"{what}: nothing found that would wake it"
    run, history = waiter.run, waiter.world.history
    # On a machine that others keep busy the first sample of a thread may be late: that it was there already is known.
    if run.woken is None and (run.before_ns >= 0 or run.start_ns <= history.first_ns + _FIRST_NS):
        return waiter.end(End.DORMANT, said)
    if _comes(waiter):
        return waiter.end(End.IDLE, f"waits for {what}, which comes now and then, and nobody else does anything")
    return waiter.link(via, what, [], otherwise=waiter.end(End.UNEXPLAINED, said))


def _full_pool(waiter: Waiter) -> str:
    """Why nobody is left to set it: all workers of its pool wait so, and the tasks behind them have no worker; '' where
    it is not so."""
    behind = waiter.world.history.depths.behind(waiter.tid) if not waiter.wait.timed else None
    if behind is None:
        return ""
    pool, tasks = behind
    runs = waiter.moment.runs
    if any(among(f, SHUTS_EXECUTORS) for r in runs.values() for f in r.stack.frames):
        return ""
    workers = [t for t in pool.workers if t in runs]
    if len(workers) < pool.most or not all(runs[t].wait.via in _ENDLESS and not runs[t].wait.timed for t in workers):
        return ""
    wait = "the only worker of its pool waits" if len(workers) == 1 else f"all {len(workers)} workers of its pool wait"
    return (
        f"{wait}, with {plural(tasks, 'task')} behind that no worker is left to run, and no other thread would set it"
    )


def _beside_a_loop(waiter: Waiter) -> bool:
    """Whether a library waits for it, of which another thread is at its event loop: that may set it, once a connection
    is ready."""
    if waiter.frame.origin != "library":
        return False
    library, look = package(waiter.frame), waiter.moment.look
    loops = (t for t, r in waiter.moment.runs.items() if t != waiter.tid and r.classification.via == "select")
    return any(f.origin == "library" and package(f) == library for t in loops for f in look(t).own)


def _own_thread(waiter: Waiter, on: str, reach: Reach) -> str:
    """It waits in a callback that a library called, for what only that library's function would do which called it: the
    client's own thread, which reads what comes. '' where it is not so."""
    at, frames = waiter.frame, waiter.look.stack.frames
    if waiter.wait.timed or at.origin != "library" or at not in frames:
        return ""
    called = next((i for i, f in enumerate(frames) if i > frames.index(at) and f.origin == "user"), len(frames))
    for frame in frames[called:]:
        found = waiter.source.function_at(frame.function, frame.line) if frame.file == at.file else None
        if found is not None and found.key in reach:
            return f"{on}: {bare(frame.function)} of this very thread would bring it, which waits here, in a callback"
    return ""


def _other_callback(waiter: Waiter, on: str, reach: Reach) -> str:
    """It waits in a method that a library's own thread called back, for what only other methods of that object bring
    which the program itself calls nowhere: the library calls those, too, and has no thread for it but this one. ''
    where it is not so."""
    at, frames = waiter.frame, waiter.look.stack.frames
    if waiter.wait.timed or at.origin != "user" or at not in frames or not reach:
        return ""
    first = next((i for i, f in enumerate(frames) if i > frames.index(at) and f.origin != "user"), len(frames))
    outer = frames[first:]
    back, owner = frames[first - 1], frames[first - 1].function.rpartition(".")[0]
    if not outer or outer[0].origin != "library" or any(f.origin == "user" for f in outer) or back.file != at.file:
        return ""
    called = {c.method for f in waiter.source.functions for c in f.calls}
    those = waiter.source.those(reach)
    if not owner or not all(f.cls == owner and f.name != bare(back.function) and f.name not in called for f in those):
        return ""
    library, look = package(outer[0]), waiter.moment.look
    others = (t for t in waiter.moment.runs if t != waiter.tid)
    if any(f.origin == "library" and package(f) == library for t in others for f in look(t).own):
        return ""
    names = ", ".join(sorted({f.name for f in those}))
    return f"{on}: {names} would set it, for {library} to call, whose only thread waits here, in {bare(back.function)}"


def _given(waiter: Waiter, reach: Reach) -> list[Node]:
    """What would wake it was defined in the waiting function itself and given away: of a method to the thread that runs
    another one of that class, as far as is known, a loop that does what others ask it for."""
    at = waiter.frame
    owner = at.function.rpartition(".")[0]
    inner = f"{at.function}.<locals>."
    if not owner or "<" in owner or not any(f.qualname.startswith(inner) for f in waiter.source.those(reach)):
        return []
    standing = waiter.moment.standing.items()
    those = [
        t for (file, name), there in standing if file == at.file and name.rpartition(".")[0] == owner for t, _ in there
    ]
    return _elsewhere(waiter, those)


def _decorates(waiter: Waiter) -> bool:
    """Whether the outermost function of a library there was put around one of the program's, and was started in its
    place: it takes whatever that takes. Not where a library's own class of threads has it around its `run`."""
    frames = waiter.look.stack.frames
    at = max((i for i, f in enumerate(frames) if f.origin == "library"), default=-1)
    outer, calls = (frames[at], frames[at + 1 :]) if at >= 0 else (None, ())
    target = bool(calls) and calls[0].origin == "stdlib" and bare(calls[0].function) == "run"
    if outer is None or "<locals>" not in outer.function or not target:
        return False
    found = waiter.world.file(outer.file).parsed.function(outer.function, outer.line)
    return found is not None and found.takes_all


def _comes(waiter: Waiter) -> bool:
    """Whether it was woken here time and again, the last time not much longer ago than between the others, and all
    other threads rest: what is awaited comes by a way that the source does not show (a table of handlers)."""
    moment, thread = waiter.moment, waiter.world.history.threads.get(waiter.tid)
    if thread is None or moment.tasks.runs:
        return False
    last = [run for run in islice(reversed(thread.runs), _RUNS) if run.stack == waiter.run.stack]
    began = sorted([at for run in last for at in (run.start_ns, *(run.woken or ()))])[-_RUNS:]
    if len(began) < _TIMES:
        return False
    usual = (began[-1] - began[0]) / (len(began) - 1)
    if moment.at_ns - began[-1] > _LATER * usual + _FIRST_NS:
        return False
    return all(r.state in (State.IDLE, State.SLEEP) for t, r in moment.runs.items() if t != waiter.tid)


def _all_wait(waiter: Waiter, reach: dict[tuple[str, int], tuple[int, ...]]) -> bool:
    """Some wait to put in and others to take out, of one and the same object, and whoever would wake one of them is
    among them. Not where all wait in one function: those may wait for somebody who has not come yet."""
    moment, at = waiter.moment, waiter.frame
    those = moment.waiting.get(waiter.wait.lock, ()) if waiter.wait.lock and reach else ()
    if len(those) < 2 or len({moment.look(t).place.function for t in those}) < 2:
        return False
    here = {f for t in those for f in moment.look(t).own if f.file == at.file}
    functions = {found.key for f in here if (found := waiter.source.function_at(f.function, f.line)) is not None}
    return set(reach) <= functions


def _timer(look: Look) -> bool:
    return any(
        is_file(f, THREADING)
        and (f.function == "Timer.run" or (f.function == "run" and ".finished.wait" in f.text))  # 3.8-3.10: bare names
        for f in look.stack.frames
    )


KIND = Signal()
