"""From a snapshot to the output of `check` and `dump`."""

from __future__ import annotations

import math
from collections import defaultdict

from concview import __version__
from concview.analysis.graph import LINKS
from concview.commands import _schema as out
from concview.commands import _tasks_json as tasks_json
from concview.commands._blame_json import blame_out, served_out
from concview.commands._work import listening_out, work_out
from concview.model import STATES, AgentStatus, Confidence, Finding, Hold, State, Target, Where
from concview.snapshot import ChainView, EdgeView, LockView, Snapshot, Status, ThreadView, WaitTimes, WakerView


def _round(value: float, digits: int = 3) -> float:
    """JSON knows no NaN."""
    return round(value, digits) if math.isfinite(value) else 0.0


def _maybe(value: float | None, scale: float = 1.0) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value * scale, 3)


def target_out(target: Target | None) -> out.TargetOut:
    if target is None:
        return out.TargetOut(0, "", [], 0.0)
    return out.TargetOut(
        target.pid,
        target.python,
        list(target.command),
        target.started,
        target.inner_pid,
        target.container,
        target.pod,
        target.host,
        target.core,
        target.core_lacks,
    )


def achieved_hz(snapshot: Snapshot) -> float:
    """Over the whole observation: the last second alone says little about a check."""
    moment = snapshot.target is not None and snapshot.target.core
    return snapshot.samples / snapshot.elapsed_s if snapshot.elapsed_s > 0 and not moment else 0.0


def unusual_ending(snapshot: Snapshot) -> str:
    """What a reader must know of how the watching ended; empty when it simply was over."""
    return snapshot.ending if snapshot.status in (Status.EXITED, Status.LOST, Status.STOPPED) else ""


def check_out(snapshot: Snapshot) -> out.CheckOut:
    """The verdict. Threads: those with a Python state, alive or ended in the window."""
    gil = snapshot.gil
    return out.CheckOut(
        schema=out.SCHEMA,
        concview=__version__,
        target=target_out(snapshot.target),
        sampling=out.SamplingOut(
            engine=snapshot.engine,
            seconds=_round(snapshot.elapsed_s),
            rate_hz=snapshot.rate_hz,
            achieved_hz=_round(achieved_hz(snapshot), 1),
            samples=snapshot.samples,
            misses=snapshot.misses,
            own_cpu_percent=_round(snapshot.own_cpu_percent, 2),
            pyspy_cpu_percent=_round(snapshot.helper_cpu_percent, 2),
            threads=snapshot.threads_there if snapshot.threads_there >= 0 else None,
            threads_seen=snapshot.threads_seen if snapshot.threads_seen >= 0 else None,
            gaps=[out.GapOut(_round(g.start_s), _round(g.seconds)) for g in snapshot.gaps],
        ),
        process=out.ProcessOut(
            cpu_percent=_maybe(snapshot.cpu_percent),
            threads=sum(t.alive for t in snapshot.threads),
            context_switches_per_s=_maybe(snapshot.switches_per_s),
            gil_held_percent=_maybe(gil.held_share, 100) if gil.available else None,
            gil_waiters_mean=_maybe(gil.waiters_mean) if gil.available else None,
            interpreters=_interpreters(snapshot),
        ),
        threads=[
            out.ThreadOut(
                t.tid,
                t.name,
                {s: _round(v, 4) for s, v in zip(STATES, t.shares, strict=True)},
                interpreter=t.interpreter,
                exact_waits=exact_waits(t.exact),
            )
            for t in snapshot.threads
        ],
        locks=[_lock(lock) for lock in snapshot.locks],
        findings=[finding_out(f) for f in snapshot.findings],
        pending=[out.PendingOut(p.id, p.needs, p.subject) for p in snapshot.pending],
        not_applicable=[out.NotApplicableOut(n.id, n.why, n.enable) for n in snapshot.not_applicable],
        chains=[_chain(c) for c in snapshot.chains],
        ending=unusual_ending(snapshot),
        blame=blame_out(snapshot.blame) if snapshot.blame is not None else None,
        refusal=_refusal(snapshot.refusal),
        tasks=tasks_json.tasks_out(snapshot.aio) if snapshot.aio is not None else None,
        loops=tasks_json.loops_out(snapshot.aio),
        work=work_out(snapshot.work),
        listening=listening_out(snapshot),
    )


def _refusal(refused: AgentStatus | None) -> out.RefusalOut | None:
    return out.RefusalOut(refused.text, refused.remedy, refused.code) if refused is not None else None


def exact_waits(waits: WaitTimes | None) -> out.ExactWaitsOut | None:
    if waits is None:
        return None
    return out.ExactWaitsOut(
        seconds=_round(waits.seconds),
        complete=waits.complete,
        runs=waits.runs,
        waits=waits.waits,
        waited_s=_round(waits.waited_s, 6),
        median_s=_exactly(waits.median_s),
        p95_s=_exactly(waits.p95_s),
        longest_s=_round(waits.longest_s, 6),
        pushed_aside=waits.aside,
        pushed_aside_s=_round(waits.aside_s, 6),
        places=[
            out.PlaceWaitsOut(
                state=p.state.name.lower(),
                reason=p.reason,
                place=f"{p.frame.file}:{p.frame.line} ({p.frame.function})" if p.frame is not None else None,
                waits=p.waits,
                waited_s=_round(p.waited_s, 6),
                median_s=_exactly(p.median_s),
                p95_s=_exactly(p.p95_s),
                longest_s=_round(p.longest_s, 6),
                woken_by=[_waker(w) for w in p.wakers],
                wake_to_run_median_s=_exactly(p.late_s),
                back_at_once=p.back,
            )
            for p in waits.places
        ],
        wakes=out.WakesOut(
            waits.wakes.wakes,
            _exactly(waits.wakes.median_s),
            _exactly(waits.wakes.p95_s),
            _round(waits.wakes.longest_s, 6),
            waits.wakes.brief,
            [_waker(w) for w in waits.wakes.wakers],
        )
        if waits.wakes is not None
        else None,
    )


def _waker(waker: WakerView) -> out.WakerOut:
    of_thread = waker.kind == "thread"
    return out.WakerOut(
        waker.kind,
        waker.count,
        tid=waker.number if of_thread else 0,
        name=waker.name if of_thread else "",
        pid=waker.number if waker.kind == "process" else 0,
    )


def _exactly(seconds: float | None) -> float | None:
    return None if seconds is None else _round(seconds, 6)


lock_id = tasks_json.lock_id


def _lock(lock: LockView) -> out.LockOut:
    return out.LockOut(
        id=lock_id(lock.address, lock.key),
        kind=lock.kind,
        expression=lock.site.expression,
        site=out.SiteOut(lock.site.file, lock.site.line, lock.site.function),
        held_percent=_round(lock.held_share * 100, 1),
        waiters_mean=_round(lock.waiters_mean),
        waiters_max=lock.waiters_max,
        holders=[out.HolderOut(h.tid, h.name, _round(h.share * 100, 1), h.confidence.value) for h in lock.holders],
        sites=[out.SiteOut(p.file, p.line, p.function) for p in lock.places],
        made=lock.made or None,
        resolution_s=_round(lock.resolution_s, 6),
        holds_seen=lock.holds,
        holds_ended=lock.holds_ended,
        hold_p50_s=_maybe(lock.hold_p50_s),
        hold_p95_s=_maybe(lock.hold_p95_s),
        hold_max_s=_maybe(lock.hold_max_s),
        hold_max_sure=lock.hold_sure,
        waits_seen=lock.waits,
        wait_mean_s=_round(lock.wait_mean_s, 6),
        wait_max_s=_round(lock.wait_max_s, 6),
        wait_per_waiter_s=_round(lock.wait_each_s, 6),
        holders_do=[out.DoingOut(what, _round(share * 100, 1)) for what, share in lock.doing],
        handoffs_per_s=_round(lock.handoffs_per_s, 1),
        workers=lock.workers,
        speedup_cap=_maybe(lock.speedup_cap),
    )


def _chain(chain: ChainView) -> out.ChainOut:
    return out.ChainOut(
        chain.root,
        chain.text,
        [out.EdgeOut(e.waiter, e.holder, e.key, e.what, e.confidence.value, e.via) for e in chain.edges],
        list(chain.cycle),
    )


def site_out(where: Where) -> out.SiteOut:
    return out.SiteOut(where.file, where.line, where.function)


def finding_out(finding: Finding) -> out.FindingOut:
    measured = finding.measured
    return out.FindingOut(
        id=finding.id,
        severity=finding.severity.value,
        score=finding.score,
        confidence=finding.confidence.value,
        title=finding.title,
        summary=finding.summary,
        why=finding.why,
        fix=finding.fix,
        measured=out.MeasuredOut(measured.name, _round(measured.value, 4), measured.info, measured.warn, measured.unit),
        where=[site_out(w) for w in finding.where],
        threads=list(finding.threads),
        stacks=[
            out.StackOut(s.role, s.tid, [f.place for f in s.frames], s.task or None, s.name) for s in finding.stacks
        ],
        recent=finding.recent,
        gain=finding.gain,
        check_next=finding.check_next,
        tasks=list(finding.tasks),
        work=served_out(finding.work),
    )


# ---------------------------------------------------------------- dump


def waited_lock(snapshot: Snapshot, thread: ThreadView) -> LockView | None:
    """The lock a thread waits for now, where it is known."""
    if thread.state is not State.LOCK:
        return None
    address = thread.wait.lock
    by_address = next((lock for lock in snapshot.locks if address and lock.address == address), None)
    return by_address or next((lock for lock in snapshot.locks if thread.tid in lock.waiting), None)


def deadlocks(snapshot: Snapshot) -> list[list[EdgeView]]:
    """Circles of threads that can never go on, as `analysis.graph` found them: the edge by which each one waits for the
    next, beginning with the smallest tid. A thread that waits for its own lock is a circle of one."""
    found = []
    for chain in snapshot.chains:
        if chain.deadlock:
            by_waiter = {e.waiter: e for e in chain.edges}
            found.append([by_waiter[tid] for tid in chain.cycle if tid in by_waiter])
    return found


def hold_name(hold: Hold) -> str:
    return hold.site.expression or lock_id(hold.lock, hold.site.key)


def waits_for(snapshot: Snapshot, edge: EdgeView) -> str:
    """What a thread waits for, as its user wrote it where that is known: 'self._lock', 'the end of "worker-1"'."""
    waiter, holder = snapshot.thread(edge.waiter), snapshot.thread(edge.holder)
    if edge.via:
        return LINKS[edge.via].waits_for.format(f'"{holder.name}"' if holder is not None else f"tid {edge.holder}")
    lock = waited_lock(snapshot, waiter) if waiter is not None else None
    if lock is not None and lock.site.expression:
        return lock.site.expression
    return f"{waiter.wait.lock:#x}" if waiter is not None and waiter.wait.lock else "a lock"


def held_by(snapshot: Snapshot, edge: EdgeView) -> str | None:
    """The lock of `edge` as the one who holds it took it; None where it is no lock that is waited for."""
    if edge.via:
        return None
    waiter, holder = snapshot.thread(edge.waiter), snapshot.thread(edge.holder)
    lock = waited_lock(snapshot, waiter) if waiter is not None else None
    address = waiter.wait.lock if waiter is not None else 0
    for hold in holder.holds if holder is not None else ():
        if (hold.lock and hold.lock == (address or (lock.address if lock is not None else 0))) or (
            lock is not None and hold.site.key == lock.site.key
        ):
            return hold_name(hold)
    return waits_for(snapshot, edge)


def circle_names(snapshot: Snapshot, circle: list[EdgeView]) -> list[tuple[str | None, str]]:
    """Of each thread of a circle: the lock that it holds, as it took it, and what it waits for, as it calls that. Where
    one name stands for several locks of the circle (`src.lock` of two accounts) their addresses tell them apart."""
    keys: dict[str, set[str]] = defaultdict(set)
    named = []
    for i, edge in enumerate(circle):
        before = circle[i - 1]
        held = held_by(snapshot, before)
        wanted = waits_for(snapshot, edge)
        waiter = snapshot.thread(edge.waiter)
        if not edge.via and waiter is not None and edge.what not in ("a lock", waiter.wait.lock_kind):
            wanted = edge.what  # as this one calls it: others may call the same lock something else
        if held == wanted and before.key != edge.key:  # one line that takes both: that is the other one's name
            wanted = held_by(snapshot, edge) or wanted
        if held:
            keys[held].add(before.key)
        if not edge.via:
            keys[wanted].add(edge.key)
        named.append((held, before.key, wanted, edge.key))

    def told(name: str, key: str) -> str:
        return f"{name} at {key}" if len(keys[name]) > 1 and key.startswith("0x") and key not in name else name

    return [(told(held, own) if held else None, told(wanted, key)) for held, own, wanted, key in named]


#: Kinds of waiting as `dump` names them, for the states in which a thread waits for something.
_WAITING = {
    State.LOCK: "lock",
    State.GIL: "gil",
    State.IO: "io",
    State.SLEEP: "sleep",
    State.IDLE: "idle",
    State.RUNNABLE: "cpu",
}


def _waiting_for(snapshot: Snapshot, thread: ThreadView) -> out.WaitingForOut | None:
    kind = _WAITING.get(thread.state)
    if kind is None:
        return None
    waiting = out.WaitingForOut(kind, text=thread.reason)
    lock = waited_lock(snapshot, thread)
    if thread.state is State.LOCK:
        if thread.wait.lock:
            waiting.lock = f"{thread.wait.lock:#x}"
        elif lock is not None:
            waiting.lock = lock_id(lock.address, lock.key)
        elif thread.c_lock:
            waiting.lock = f"{thread.c_lock:#x}"
        if not thread.blocked_by:
            waiting.confidence = Confidence.UNKNOWN.value
            if thread.held_by:  # of a permit, a connection, a lock in a C library: by blame
                waiting.holder, waiting.confidence = thread.held_by, thread.held_confidence.value
    if thread.blocked_by:
        waiting.holder, waiting.confidence = thread.blocked_by, thread.blocked_confidence.value
    if thread.state is State.GIL and (holder := _gil_holder(snapshot, thread)) > 0:
        waiting.holder, waiting.confidence = holder, Confidence.EXACT.value
    if thread.wait.peer is not None:
        waiting.peer = thread.wait.peer.name
    return waiting


def _gil_holder(snapshot: Snapshot, thread: ThreadView) -> int:
    """Of the GIL that the thread needs, as in `GilView`."""
    gils = {i.id: i for i in snapshot.gil.interpreters}
    inside = gils.get(thread.interpreter)
    if inside is None or not inside.gil:
        return snapshot.gil.holder_now if snapshot.gil.available else -1
    return gils[inside.gil].holder_now if inside.gil in gils else -1


def _interpreters(snapshot: Snapshot) -> list[out.InterpreterOut]:
    return [
        out.InterpreterOut(
            i.id,
            True,
            list(i.threads),
            i.holder_now != 0,
            i.holder_now if i.holder_now > 0 else None,
            i.waiters_now,
            _round(100 * i.held_share),
            _round(i.waiters_mean),
        )
        if i.own_gil and snapshot.gil.available
        else out.InterpreterOut(i.id, i.own_gil, list(i.threads))
        for i in snapshot.gil.interpreters
    ]


def dumped(snapshot: Snapshot) -> list[ThreadView]:
    """The threads that a dump shows: alive, with Python frames; the main thread first, then in order of birth."""
    main = snapshot.target.pid if snapshot.target is not None else 0
    shown = [t for t in snapshot.threads if t.alive and (t.stack.frames or not t.native)]
    return sorted(shown, key=lambda t: (t.tid != main, -t.age_s, t.tid))


def dump_out(snapshot: Snapshot, deep: dict[int, list[out.FrameOut]] | None = None) -> out.DumpOut:
    """One thread dump. `deep`: frames with locals or native parts, by tid, in place of the sampled ones."""
    gil = snapshot.gil
    threads = []
    for thread in dumped(snapshot):
        frames = (deep or {}).get(thread.tid) or [
            out.FrameOut(f.function, f.file, f.line, f.text) for f in thread.stack.frames
        ]
        threads.append(
            out.DumpThreadOut(
                tid=thread.tid,
                name=thread.name,
                state=thread.state.name.lower(),
                waiting_for=_waiting_for(snapshot, thread),
                holds=[tasks_json.hold_out(h) for h in thread.holds],
                frames=frames,
                because=thread.because,
                waiting=thread.waiting,
                interpreter=thread.interpreter,
                exact_waits=exact_waits(thread.exact),
            )
        )
    dump = out.DumpOut(
        schema=out.SCHEMA,
        target=target_out(snapshot.target),
        gil=out.GilOut(
            (gil.holder_now != 0) if gil.available and gil.holder_now != -1 else None,
            gil.holder_now if gil.available and gil.holder_now > 0 else None,
            _interpreters(snapshot),
        ),
        threads=threads,
        deadlocks=[_cycle_out(snapshot, circle) for circle in deadlocks(snapshot)],
        chains=[_chain(c) for c in snapshot.chains],
        work=work_out(snapshot.work),
        listening=listening_out(snapshot),
    )
    return tasks_json.dump_into(dump, snapshot.aio)


def _cycle_out(snapshot: Snapshot, circle: list[EdgeView]) -> list[out.CycleOut]:
    names = circle_names(snapshot, circle)
    return [
        out.CycleOut(edge.waiter, held, wanted, edge.via) for edge, (held, wanted) in zip(circle, names, strict=True)
    ]
