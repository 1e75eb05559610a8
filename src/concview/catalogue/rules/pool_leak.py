"""Everything is taken out of a pool, and nobody has it any more: it was never given back.

What it sees:
    Threads that wait to be lent something (a connection out of a library's or one's own pool, a permit of a semaphore,
    a thing out of a queue into which it is put back) while all are out, and no thread is left that would give one
    back.

Why it hurts:
    Each time that somebody takes one and leaves without giving it back, one is lost; when the last one is lost,
    everybody stops. It looks like a pool that is too small, and a larger one only takes longer to run dry.

How it is measured:
    What is free, and every frame that refers to the pool, are read from memory; whose way leads to giving back is told
    by the source. Nobody's does, and somebody has waited for five seconds without a break [D: nobody can end it; the
    time excludes a hand-over]: score 92. For a library's pool nobody may be seen to use a connection. Who took them is
    not recorded anywhere: functions are named that, by their source, take one and do not give it back on every path
    (inferred). Demo pair: for ever (bad), never (fixed).

Fix:
    Give it back in a `finally`, or take it in a `with`.

        with engine.connect() as db: rows = db.execute(query).all()

        db = pool.get()
        try: rows = query(db)
        finally: pool.put(db)

    A limit of time turns the wait into an error that names the caller: pool.get(timeout=30).

When it is fine:
    Never, if nobody gives it back; a callback that no thread is in now may, so look at who is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.known_places import pool_asked
from concview.analysis.second import has_one
from concview.analysis.window import WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd, _pools
from concview.catalogue.rules._crowd import Crowd
from concview.catalogue.rules.connection_starvation import subject_of
from concview.model import SIGNAL_VIA, Concern, Confidence, Frame, Reference, Related, Where
from concview.source import takers
from concview.source.takers import Taken, Taker
from concview.source.uses import Uses
from concview.text import duration, file_name, waits

STANDS_S = 5.0
_VIA = SIGNAL_VIA | {"pool", "Semaphore.acquire"}
_GIVES = frozenset({"release", "put", "put_nowait", "notify", "notify_all", "notifyAll", "exit"})
#: Files of the program that are searched for who takes one.
MOST_FILES = 12
_HOW = {
    "nowhere": "gives it back nowhere",
    "returned": "hands it to its caller",
    "early": "gives it back in line {}, not in a finally",
}


class PoolLeak:
    id: ClassVar[str] = "pool-leak"
    title: ClassVar[str] = "What was taken from a pool is never returned"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(STANDS_S, STANDS_S, "s", "[D] nobody can end it")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time waited for what no thread will return"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            crowd.polls = any(p.run.wait.timed for _, p in crowd.waits)
            if not crowd.stuck or all(window.history.depths.in_vain(tid) for tid in crowd.tids):
                continue  # its pool has made none
            known = _crowd.related(window, crowd)
            if known is not None and known.complete and not known.more and _dry(window, crowd, known):
                yield _one(window, crowd, known)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    if profile.classification.via not in _VIA or not profile.wait.lock:
        return None
    asking = _asking(profile)
    return _crowd.named(profile, evidence.frame_spot(asking)) if asking is not None else None


def _asking(profile: WaitProfile) -> Frame | None:
    """The program's line that wants one: outside of the pool's own class."""
    own = [f for f in profile.stack.frames if f.origin == "user"]
    if not own:
        return None
    owner = own[0].function.rpartition(".")[0]
    # One that is waited for in a method of the pool's own: who asks is outside of that class.
    inside = profile.wait.lock_kind in ("Condition", "Event")
    outer = [f for f in own if not (inside and owner and f.function.rpartition(".")[0] == owner)]
    return outer[0] if outer else own[0]


def _dry(window: Window, crowd: Crowd, known: Related) -> bool:
    via = crowd.waits[0][1].run.classification.via
    giving = [r for r in known.references if r.will in _GIVES]
    if any(r.tid not in known.waiters and (r.past or r.part == "body" or not r.loops) for r in giving):
        return False  # somebody is on the way to give one back
    if any(not r.source and r.tid not in known.waiters and r.by != "with" for r in known.references):
        return False  # what somebody will do with it is not known
    library = any(pool_asked(f) for f in crowd.stack.frames) if crowd.stack is not None else False
    if library:
        source = Uses(window.lines_of, MOST_FILES).file
        if any(has_one(p.run.stack, source) for _, p in crowd.waits):
            return False  # they have one, and wait for a second one
        return not _used(window) and not _had_lately(window, crowd)
    if known.kind == "Semaphore":
        others = [r for r in giving if r.tid not in known.waiters]
        if known.value > 0 or any(_only_gives(window, r) for r in others):
            return False
        return not _handed_on(window, crowd, known)
    if via == "pool":
        return known.kind not in ("Queue", "SimpleQueue") or known.value == 0
    # A Condition: of a pool, where whoever waits for one will give back the very same by another method.
    mine = [r for r in giving if r.tid in known.waiters and r.through]
    asking = _asking_frame(crowd)
    if known.kind != "Condition" or not mine or asking is None:
        return False
    lines = window.lines_of(asking.file)
    taken = takers.takes(lines, asking.line)
    return taken is not None and takers.gives_back(lines, asking.line, taken, frozenset(r.through for r in mine))


def _only_gives(window: Window, one: Reference) -> bool:
    """Whether what gives it back there never takes it by that name: a semaphore as a signal, handed on in a ring. Of
    one that a function itself gives back and never takes, whatever others do: it counts what others have taken."""
    name = re.escape(one.path.rpartition(".")[2])
    source = Uses(window.lines_of, MOST_FILES).file(one.file)
    function = source.function(one.function, one.line) if source is not None else None
    if function is not None and not one.through and one.loops:
        blocks = any(b.on == one.path.rpartition(".")[2] and not b.method for b in function.blocks)
        if not blocks and not any(c.path == one.path and c.method == "acquire" for c in function.calls):
            return True
    takes = re.compile(rf"\b{name}\.acquire\(|\bwith\b.*\b{name}\b")
    lines = window.lines_of(one.file)
    return bool(name and lines) and not any(takes.search(line) for line in lines)


def _handed_on(window: Window, crowd: Crowd, known: Related) -> bool:
    """Whether the function that gives one back is handed on where it is taken, for whoever does the work to call."""
    name = re.escape((known.name or "").rpartition(".")[2])
    gives = re.compile(rf"\b{name}\.release\b(?!\s*\()")
    files = {f.file for f in crowd.stack.frames if f.origin != "stdlib"} if crowd.stack is not None and name else ()
    return any(gives.search(line) for file in files for line in window.lines_of(file))


def _used(window: Window) -> bool:
    """Whether a thread uses a library's connection now."""
    runs = [t.history.current for t in window.threads if t.alive]
    return any(
        r is not None
        and not any(pool_asked(f) for f in r.stack.frames)
        and any(_pools.uses(library, f) for library in _pools.USED for f in r.stack.frames)
        for r in runs
    )


def _had_lately(window: Window, crowd: Crowd) -> bool:
    """Whether a thread was seen past the line that asks for one, since those that are stuck have waited: it had one,
    whatever it did with it meanwhile, and the pool is too small, not dry."""
    since = window.end_ns - int(STANDS_S * 1e9)
    return any(not p.run.end_ns or p.end_ns > since for _, p in crowd.beyond())


def _asking_frame(crowd: Crowd) -> Frame | None:
    for _, slice_ in crowd.waits:
        run = slice_.run
        frame = _asking(WaitProfile(run.stack, run.wait, run.classification, run.state))
        if frame is not None:
            return frame
    return None


def _who_takes(window: Window, crowd: Crowd, known: Related) -> list[tuple[Taker, str]]:
    """(function that takes one and may not give it back, its file)."""
    asking = _asking_frame(crowd)
    if asking is None:
        return []
    taken = takers.takes(window.lines_of(asking.file), asking.line)
    if taken is None and asking.acquires is None and known.kind == "Semaphore":
        taken = Taken((known.name or "").rpartition(".")[2], "acquire")
    if taken is None:
        return []
    gives = frozenset({r.through or r.will for r in known.references if r.will in _GIVES} - {"exit"})
    files = [asking.file]
    for thread in window.threads:
        for profile in thread.wait_profiles:
            files += [f.file for f in profile.stack.frames if f.origin == "user" and f.file not in files]
    found: list[tuple[Taker, str]] = []
    for file in list(dict.fromkeys(files))[:MOST_FILES]:
        found += [(one, file) for one in takers.takers(window.lines_of(file), taken, gives)]
    order = {"nowhere": 0, "early": 1, "returned": 2}
    return sorted(found, key=lambda each: (order[each[0].how], each[0].line))[:4]


def _one(window: Window, crowd: Crowd, known: Related) -> Observation:
    stack = crowd.stack
    library = next((name for f in stack.frames if (name := pool_asked(f))), "") if stack is not None else ""
    asking = _asking_frame(crowd)
    name = f"a connection of {library}'s pool" if library else (known.name or crowd.name)
    if not library and known.container_type and asking is not None:
        taken = takers.takes(window.lines_of(asking.file), asking.line)
        name = taken.thing if taken is not None else name
    what = f"a permit of {name}" if known.kind == "Semaphore" else name
    suspects = _who_takes(window, crowd, known)
    told = "; ".join(
        f"{one.function} ({file_name(file)}:{one.line}) takes one and {_HOW[one.how].format(one.back)}"
        for one, file in suspects
    )
    most = _most(window, crowd, known)
    many = f"connections of {library}'s pool" if library else f"permits of {name}" if what != name else f"of {name}"
    all_of = f"All {most} {many}" if most else f"All {many}"
    spot = evidence.frame_spot(asking) if asking is not None else crowd.spot
    subjects = {s for _, p in crowd.waits if (s := subject_of(p.run))}
    return replace(
        crowd.for_ever(Confidence.INFERRED, 92),
        label=name,
        title=f"{all_of} are checked out, and nobody will return one",
        summary=(
            f"{crowd.who} {waits(len(crowd.tids))} for {what} in {spot} for {duration(crowd.least)}"
            f"{' and longer' if len(crowd.tids) > 1 else ''}: "
            f"{'all are out' if not most else f'all {most} are out'}, and no thread that holds one will return it: "
            "those that took them are elsewhere now, or have ended." + (f" By the source, {told}." if told else "")
        ),
        check_next=(
            f"On which path out of {suspects[0][0].function} is it not given back?"
            if suspects
            else f"Who takes {what}, and on which way out is it not given back? An exception is one, too."
        ),
        where=_places(suspects, evidence.places(stack)),
        explains=(
            *(("connection-starvation", s) for s in subjects),
            ("semaphore-starvation", crowd.key),
            ("lock-contention", crowd.key),
            ("lost-wakeup", crowd.key),
            ("pool-oversized", "*"),
        ),
    )


def _places(suspects: list[tuple[Taker, str]], waits: tuple[Where, ...]) -> tuple[Where, ...]:
    known = {(w.file, w.line): w for w in waits}
    first = [known.pop((file, one.line), Where(file, one.line, one.function)) for one, file in suspects[:2]]
    return (*first, *known.values())[:4]


def _most(window: Window, crowd: Crowd, known: Related) -> int:
    """How many there are in all; 0 not known."""
    if known.kind == "Semaphore":
        return max(0, known.most)
    of = (q.last for q in window.queues if q.address == known.address or set(crowd.tids) <= set(q.last.users))
    depth = next(of, None)
    return depth.most if depth is not None and depth.kind != "SimpleQueue" else 0


RULE = PoolLeak()
