"""The process is forked while it has other threads.

What it sees:
    Children that are copies of the process, made by a fork without exec while other threads were running; and such
    children in which nothing moves any more, because they wait for a lock that nobody there will release.

Why it hurts:
    A fork copies all memory and one thread. Locks that other threads held at that moment, the logging module's and the
    C library's included, are copied as taken, and whoever should release them does not exist in the child. It works
    until a fork falls into such a moment; then the child hangs for ever, and often its parent waits for it.

How it is measured:
    A child is a copy if the kernel shows its code and stack at the parent's own addresses, which exec would have
    changed. It counts if a thread of the parent is older than the child, apart from the one that forked [S: CPython
    warns of the same from 3.12 on]: INFO from one such child on that is two seconds old, for on a busy
    machine it may take a while from fork to exec. It is a warning when every thread of the child sleeps, without a
    timeout, on a futex that no other process can wake, from one look to the next a second later [D: then nobody is
    left to wake it]: on the demo pair four of four children (bad), none (fixed).

Fix:
    Start children as new programs, or from a process that has no threads.

        context = multiprocessing.get_context("forkserver")    # or "spawn"; the default from 3.14 on
        pool = ProcessPoolExecutor(mp_context=context)

    Or fork first, and start threads afterwards. subprocess is safe: it executes another program at once.

When it is fine:
    The child executes another program immediately, which is not counted; or nothing it does needs a lock that another
    thread might have held, imports, logging and memory allocation in C libraries included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import BLOCKING_VIA, IDLE_VIA, via_of, waits_for_work
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.model import SETTLED_NS, Concern, Confidence, ForkedChild, Frame, Stack, Where
from concview.source.origin import place
from concview.text import duration, plural

_FORKING = ("multiprocessing/", "concurrent/futures/process.py", "pty.py", "socketserver.py")


class ForkWithThreads:
    id: ClassVar[str] = "fork-with-threads"
    title: ClassVar[str] = "Forked while other threads were running"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(
        1, 1, "children", "[S] CPython warns of every such fork from 3.12 on; [D] a stuck child is a warning"
    )
    needs: ClassVar[tuple[str, ...]] = ("waits",)
    permanent: ClassVar[bool] = True
    concern: ClassVar[Concern] = Concern.RISK
    measure: ClassVar[str] = "children forked beside other threads"

    def observe(self, window: Window) -> Iterable[Observation]:
        forks = window.history.forks
        if forks is None:
            if window.seconds < 1:
                return  # the stream has just begun
            raise Inapplicable("this recording says nothing about children", "record again with this version")
        if forks.why:
            raise Inapplicable(forks.why, forks.enable)
        alive = window.history.forked
        settled = [(c, s) for c, s in alive if forks.at_ns - c.started_ns >= SETTLED_NS]
        stuck = [(c, s) for c, s in alive if c.stuck_ns and not _has_nothing_to_do(s)]
        if stuck:
            yield self._stuck(window, stuck, forks.total)
        elif settled:
            yield self._forked(window, settled, forks.total)

    def _stuck(self, window: Window, stuck: list[tuple[ForkedChild, Stack]], total: int) -> Observation:
        child, stack = next(((c, s) for c, s in stuck if s.frames), stuck[0])
        leaf = stack.user_leaf
        where = evidence.frame_spot(leaf) if leaf is not None else "a place that could not be read"
        wants = leaf.acquires.expression if leaf is not None and leaf.acquires is not None else "a lock"
        longest = max(window.end_ns - c.stuck_ns for c, _ in stuck) / 1e9
        more = f" {plural(total, 'such child', 'such children')} so far." if total > len(stuck) else ""
        return Observation(
            subject="process",
            value=len(stuck),
            lower=len(stuck),
            samples=window.samples,
            episodes=len(stuck),
            confidence=Confidence.EXACT,
            title=f"{plural(len(stuck), 'forked child hangs', 'forked children hang')} for ever",
            summary=(
                f"{_pids(stuck)}, forked while {plural(child.others, 'other thread was', 'other threads were')} "
                f"running: waiting for {wants} in {where} for {duration(longest)} and more. All threads there wait, "
                f"so nobody is left to release it: its holder was not copied.{more}"
            ),
            fix=_fix(_fork_line(stack)),
            gain="These children would do their work; whoever waits for them would go on.",
            check_next=(
                f"Nothing but a signal ends them: kill {child.pid}. Who waits for them? What else runs in a forked "
                "child here?"
            ),
            where=_where(stack),
            stacks=evidence.shown(
                "stuck child",
                child.pid,
                f"child {child.pid}",
                stack,
                "copied from the parent up to the line that forked",
            ),
            score=100,
        )

    def _forked(self, window: Window, alive: list[tuple[ForkedChild, Stack]], total: int) -> Observation:
        child, stack = next(((c, s) for c, s in alive if s.frames), alive[0])
        line = _fork_line(stack)
        return Observation(
            subject="process",
            value=len(alive),
            lower=len(alive),
            samples=window.samples,
            episodes=len(alive),
            confidence=Confidence.EXACT,
            summary=(
                f"{_pids(alive)}: forked while {plural(child.others, 'other thread was', 'other threads were')} running"
                + (f", in {evidence.frame_spot(line)}" if line is not None else "")
                + f". {plural(total, 'such child', 'such children')} so far; none of them hangs now. A lock that one "
                "of these threads held at that moment stays locked in the child for ever."
            ),
            fix=_fix(line),
            gain="None in speed: the program can no longer hang at this place.",
            check_next="Which locks can the other threads hold at that moment? Logging, imports and pools have some.",
            where=_where(stack),
            stacks=evidence.shown(
                "child", child.pid, f"child {child.pid}", stack, "copied from the parent up to the line that forked"
            ),
            severity_cap="info",
        )


def _has_nothing_to_do(stack: Stack) -> bool:
    """Sleeps in a place made for it: a signal handler may still wake it."""
    via = via_of(stack)
    return waits_for_work(stack) or (via in IDLE_VIA and via not in BLOCKING_VIA)


def _pids(children: list[tuple[ForkedChild, Stack]]) -> str:
    pids = [str(c.pid) for c, _ in children]
    shown = ", ".join(pids[:4]) + (", …" if len(pids) > 4 else "")
    return f"{'child' if len(pids) == 1 else 'children'} {shown}".capitalize()


def _fork_line(stack: Stack) -> Frame | None:
    """The user's own line from which the child was forked: the one that called the library which forks, or forks."""
    frames = stack.frames
    for i in range(len(frames) - 1, 0, -1):
        inner, outer = frames[i - 1], frames[i]
        if (
            outer.origin == "user"
            and inner.origin != "user"
            and place(inner.file)[1].startswith(_FORKING)
            and "start" in inner.function
        ):
            return outer
    return next((f for f in reversed(frames) if f.origin == "user" and "fork" in f.text), None)


def _where(stack: Stack) -> tuple[Where, ...]:
    line = _fork_line(stack)
    first = (evidence.at(line),) if line is not None else ()
    return (*first, *(w for w in evidence.places(stack) if w not in first))[:4]


def _fix(line: Frame | None) -> str:
    if line is not None and "fork()" in line.text:
        return (
            "Fork before the first thread is started, or start a new program.\n\n"
            "    pid = os.fork()                    # first\n"
            "    threading.Thread(...).start()      # then\n\n"
            "subprocess.Popen([...]) is safe: it executes another program at once."
        )
    return (
        "Start children as new programs, or from a process that has no threads.\n\n"
        '    context = multiprocessing.get_context("forkserver")    # or "spawn"; the default from 3.14 on\n'
        "    process = context.Process(target=helper)\n\n"
        "Or fork first, and start threads afterwards."
    )


RULE = ForkWithThreads()
