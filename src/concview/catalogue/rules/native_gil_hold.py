"""One call into native code keeps the GIL, and everybody waits until it returns.

What it sees:
    A thread that keeps the GIL for tens of milliseconds at a stretch while others wait for it, always below one
    line: a call that runs in C and does not let go.

Why it hurts:
    Python code is asked to give up the GIL after five milliseconds. Native code is not: until the call returns, no
    other thread runs Python, no timer fires, no connection is answered.

How it is measured:
    The interpreter counts how often the GIL goes to another thread. Where that count stands still from sample to
    sample, with one holder and at least one waiter, nobody else had the GIL in between. The length of such a stretch
    as a waiting thread meets it (mean weighted by length), reduced by the share of the time for which the holder had
    no CPU; the lower end is from the first to the last sample of the stretch. Thresholds 20 and 100 ms [H; S: four
    and twenty switch intervals of 5 ms]: on the demo pair 140 to 190 ms (bad), none (fixed). At least three such
    stretches in the window, or a second in all; those that keep the GIL for less than 2 % of the time are left alone,
    below 5 % they are INFO, as they are where the holder had a CPU for less than 30 % of them.

Fix:
    Give it less at a time, or let a process do it, which has a GIL of its own.

        for part in chunks(data, 10_000): process(part)        # others get their turn in between
        ProcessPoolExecutor(1).submit(match, text).result()    # or a process of its own

    In an extension of your own: Py_BEGIN_ALLOW_THREADS around what touches no Python object. A regular expression
    that takes long has a repetition inside a repetition: write it without.

    Python code that goes on from line to line meanwhile is not asked in time: see sys.setswitchinterval().

When it is fine:
    While the program starts and nobody waits for an answer. A garbage collection is not counted here where the engine
    sees it: see gc-storm.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from concview.analysis.gilcalls import Uninterrupted, uninterrupted
from concview.analysis.window import GilWindow, Slice, ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.model import Confidence, Frame, Stack, State
from concview.text import duration, percent, plural, waits

#: Shorter ones may be Python code that was asked to let go just now.
SHORTEST_NS = 10_000_000
MIN_HOLDS = 3
ENOUGH_NS = 1_000_000_000
#: Of Python code, which went on from line to line meanwhile.
_NOT_ASKED = (
    " It is Python code, which went from line to line meanwhile: it is asked to let go after the switch interval, "
    "which must be longer than that here (5 ms unless somebody sets it)."
)
_ASK = (
    "Leave the switch interval at its default, or let a process compute, which has a GIL of its own.\n\n"
    "    sys.setswitchinterval(0.005)                           # seconds; sys.getswitchinterval() tells\n"
    "    ProcessPoolExecutor(1).submit(process, data).result()  # or a process of its own"
)
#: Share of the time in which the GIL is kept so: below it is left alone, below that INFO.
MIN_SHARE = 0.02
INFO_SHARE = 0.05
#: A holder that had a CPU for less of the stretch says little: of how it had it within, the counters know nothing.
MIN_ON_CPU = 0.3
#: So much of all waiting for the GIL must be behind these calls, for them to explain it.
EXPLAINS_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Hold:
    seen: Uninterrupted
    stack: Stack
    on_cpu: float  #: share of the stretch for which the holder had a CPU
    moved: bool = False  #: it went from line to line meanwhile: that is no call into native code

    @property
    def sure_ns(self) -> float:
        return (self.seen.end_ns - self.seen.start_ns) * self.on_cpu

    @property
    def ns(self) -> float:
        return (self.seen.end_ns - self.seen.start_ns + self.seen.edge_ns / 2) * self.on_cpu


class NativeGilHold:
    id: ClassVar[str] = "native-gil-hold"
    title: ClassVar[str] = "A native call keeps the GIL"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.02, 0.1, "s", "[H] 4 and 20 switch intervals of 5 ms, calibrated on the demo pair"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "gil")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "the GIL kept in one call while others wait"

    def observe(self, window: Window) -> Iterable[Observation]:
        evidence.require_gil(window)
        for gil in window.gils:
            yield from self._kept(window, gil)

    def _kept(self, window: Window, gil: GilWindow) -> Iterable[Observation]:
        ticks = gil.ticks
        if ticks and all(t.switches < 0 for t in ticks):
            if gil.id:
                return
            raise Inapplicable(
                "this recording does not say how often the GIL changed hands", "record again with this version"
            )
        all_waited = sum(t.waiters * t.dt_ns for t in ticks)
        lines: dict[tuple[str, str], list[_Hold]] = defaultdict(list)
        threads = {t.tid: t for t in gil.threads}
        slices: dict[int, list[Slice]] = {}
        for seen in uninterrupted(ticks):
            thread = threads.get(seen.tid)
            if thread is None or not thread.buckets or seen.end_ns - seen.start_ns < SHORTEST_NS:
                continue  # without a bucket its CPU time is not known yet
            stack = _stack(slices.setdefault(seen.tid, thread.slices), seen)
            leaf = stack.user_leaf if stack is not None else None
            if stack is not None and leaf is not None:
                moved = _moved(slices[seen.tid], seen, leaf)
                lines[leaf.file, leaf.function].append(_Hold(seen, stack, _on_cpu(thread, seen), moved))
        for holds in lines.values():
            yield from self._one(window, gil, holds, all_waited)

    def _one(self, window: Window, gil: GilWindow, holds: list[_Hold], all_waited: int) -> Iterable[Observation]:
        kept = sum(h.ns for h in holds)
        lasted = sum(h.seen.end_ns - h.seen.start_ns for h in holds)
        share = kept / 1e9 / window.seconds
        if not kept or share < MIN_SHARE:
            return
        met = sum(h.ns * h.ns for h in holds) / kept / 1e9
        sure = sum(h.sure_ns * h.sure_ns for h in holds) / max(1.0, sum(h.sure_ns for h in holds)) / 1e9
        waited = sum(h.seen.waited_ns for h in holds)
        longest = max(h.ns for h in holds) / 1e9
        stack = evidence.heaviest((h.stack, round(h.ns)) for h in holds)
        assert stack is not None
        leaf = stack.user_leaf
        tids = tuple(sorted({h.seen.tid for h in holds}))
        victims = _victims(gil, holds)
        sees_gc = window.can("collecting")
        enough = len(holds) >= MIN_HOLDS or kept >= ENOUGH_NS
        line = f" ({leaf.text})" if leaf is not None and leaf.text else ""
        python = sum(h.ns for h in holds if h.moved) > kept / 2
        stacks = evidence.shown(
            "holder", tids[0], window.name(tids[0]), stack, f"keeps the GIL {percent(share)} of the time"
        )
        for victim in victims[:3]:
            note = f"waits for the GIL {percent(victim.share(State.GIL))}"
            seen = evidence.heaviest_in(victim.wait_profiles, State.GIL)
            stacks += evidence.shown("victim", victim.tid, victim.name, seen, note)
        yield Observation(
            subject=f"{leaf.file}:{leaf.function}" if leaf is not None else "process",
            value=met,
            lower=min(sure, met),
            samples=evidence.samples_in(window, kept),
            episodes=len(holds),
            confidence=Confidence.EXACT if sees_gc else Confidence.INFERRED,
            title=f"{evidence.frame_spot(leaf)} keeps the GIL{gil.where} for {duration(met)}",
            summary=(
                f"{evidence.who(window, tids)} {'keeps' if len(tids) == 1 else 'keep'} the GIL for {duration(met)} at "
                f"a time (longest {duration(longest)}) in {evidence.frame_spot(leaf)}{line}, {percent(share)} of the "
                f"time in all; meanwhile {evidence.who(window, [v.tid for v in victims])} "
                f"{waits(len(victims))}."
                + (_NOT_ASKED if python else "")
                + ("" if sees_gc else " This engine does not see garbage collections: the call may have set one off.")
            ),
            fix=_ASK if python else _fix(leaf),
            gain=(
                f"Up to {duration(met)} for everything that happens to come meanwhile; {waited / 1e9:.1f} s of "
                f"threads' time in the last {window.seconds:.0f} s, if the call lets go of the GIL or runs elsewhere."
            ),
            check_next=(
                "Who calls sys.setswitchinterval(), and with what?"
                if python
                else "How large is what this call is given? Time it alone; if it cannot be cut into parts, it belongs "
                "into a process."
            ),
            where=evidence.places(stack, *(evidence.heaviest_in(v.wait_profiles, State.GIL) for v in victims[:2])),
            threads=(*tids, *(v.tid for v in victims)),
            stacks=stacks,
            explains=(
                (("gil-contention", gil.subject), ("gil-convoy", gil.subject))
                if waited >= EXPLAINS_SHARE * all_waited
                else ()
            ),
            severity_cap="info" if share < INFO_SHARE or kept < MIN_ON_CPU * lasted else "",
            needs="" if enough else f"at least {MIN_HOLDS} such calls (has {plural(len(holds), 'call')})",
        )


def _stack(slices: list[Slice], seen: Uninterrupted) -> Stack | None:
    """The stack in which the thread was for most of the stretch."""
    first = max(0, bisect_left(slices, seen.start_ns, key=lambda p: p.end_ns))
    inside: list[tuple[Stack, int]] = []
    for slice_ in slices[first:]:
        if slice_.start_ns >= seen.end_ns:
            break
        inside.append((slice_.run.stack, min(slice_.end_ns, seen.end_ns) - max(slice_.start_ns, seen.start_ns)))
    return evidence.heaviest(inside)


def _moved(slices: list[Slice], seen: Uninterrupted, leaf: Frame) -> bool:
    """Whether the thread itself was at several lines of that function while it kept the GIL."""
    first = max(0, bisect_left(slices, seen.start_ns, key=lambda p: p.end_ns))
    lines: set[int] = set()
    for slice_ in slices[first:]:
        if slice_.start_ns >= seen.end_ns:
            break
        frame = slice_.run.stack.leaf
        if slice_.start_ns >= seen.start_ns and frame is not None and (frame.file, frame.function) == _place(leaf):
            lines.add(frame.line)
    return len(lines) > 1


def _place(frame: Frame) -> tuple[str, str]:
    return frame.file, frame.function


def _on_cpu(thread: ThreadWindow, seen: Uninterrupted) -> float:
    """Share of the wanted CPU time that the thread got around the stretch, from the kernel's counters.

    A holder without a CPU keeps the GIL, too, but then that is what has to be cured: see cpu-starvation.
    """
    around = [b for b in thread.buckets if b.end_ns > seen.start_ns and b.start_ns < seen.end_ns]
    around = around or thread.buckets[-1:]  # the half second that is not complete yet
    known = [b for b in around if b.cpu_ns >= 0]
    cpu = sum(b.cpu_ns for b in known)
    ready = sum(b.sampled[State.RUNNING] + b.sampled[State.RUNNABLE] for b in known)
    if cpu < MIN_ON_CPU * ready:
        return cpu / ready  # the kernel books a wait in the run queue when it is over, maybe seconds later
    delay = sum(max(0, b.run_delay_ns) for b in known)
    return cpu / (cpu + delay) if cpu + delay else 1.0


def _victims(gil: GilWindow, holds: list[_Hold]) -> list[ThreadWindow]:
    """Who waited for the GIL during these stretches, longest first."""
    waited: dict[int, int] = defaultdict(int)
    threads = {t.tid: t for t in gil.threads}
    for thread in threads.values():
        waits = [p for p in thread.slices if p.run.state is State.GIL]
        ends = [p.end_ns for p in waits]
        for hold in holds:
            for slice_ in waits[bisect_left(ends, hold.seen.start_ns) :]:
                if slice_.start_ns >= hold.seen.end_ns:
                    break
                waited[thread.tid] += min(slice_.end_ns, hold.seen.end_ns) - max(slice_.start_ns, hold.seen.start_ns)
    most = max(waited.values(), default=0)
    order = sorted(waited, key=lambda t: -waited[t])
    return [threads[tid] for tid in order if waited[tid] > 0.05 * most]


def _fix(leaf: Frame | None) -> str:
    call = leaf.text if leaf is not None and leaf.text and len(leaf.text) < 60 else "process(data)"
    return (
        f"Give it less at a time, or let a process do it, which has a GIL of its own. The call: {call}\n\n"
        "    for part in chunks(data, 10_000): process(part)        # others get their turn in between\n"
        "    ProcessPoolExecutor(1).submit(process, data).result()  # or a process of its own\n\n"
        "In an extension of your own: Py_BEGIN_ALLOW_THREADS around what touches no Python object. A regular "
        "expression that takes long has a repetition inside a repetition: write it without."
    )


RULE = NativeGilHold()
