"""A child process waits to write into a full pipe, and its parent waits for it to end.

What it sees:
    A thread in Popen.wait(), os.waitpid() or Process.join(), or a task in asyncio's Process.wait(), for a child that
    waits in write(2), at a pipe, a pair of sockets or a pseudo-terminal whose other end only this process has, and
    which no thread here reads; or one that reads another pipe of
    that child (its output first, and its errors afterwards). Or, looked at from the child: a thread that cannot write
    because its parent does not read.

Why it hurts:
    A pipe holds 64 KiB. The child cannot end before the rest is taken out, and nobody takes it out before the child
    has ended: both stand for ever. It works in every test whose output is short.

How it is measured:
    What each thread of the child is in, and which process has the other end of the pipe, are read from the kernel; the
    child must not have moved for five seconds [D: a reader that is only slow lets it move once it has read a piece].
    From the parent's side the score is 95; where threads are left that might still read, and from the child's side with
    fewer than three threads at the pipe, it is INFO. Demo pair: for ever (bad), never (fixed).

Fix:
    Read what the child writes, and wait for it afterwards.

        out, err = process.communicate(timeout=60)      # instead of: process.wait(); process.stdout.read()

        results = [queue.get() for _ in workers]        # multiprocessing: empty the queue, then join()
        for worker in workers: worker.join()

    Or let it write into a file, or nowhere: stdout=subprocess.DEVNULL.

When it is fine:
    A child that is held back on purpose, by a reader which comes later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.other_end import users_of
from concview.analysis.records import Run
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Child, Children, Concern, Confidence, Link, State, WaitKind
from concview.text import duration, waits

_READS = frozenset({"read", "readv", "poll", "ppoll"})
_WRITES = frozenset({"write", "writev", "sendto", "sendmsg"})
_FOR_CHILD = "Process.wait"
#: So many threads at one pipe that nobody reads are a warning.
CROWD = 3
#: A wait of less than this may be a reader that is busy with the piece before.
STANDS_S = 5.0


class ChildPipeDeadlock:
    id: ClassVar[str] = "child-pipe-deadlock"
    title: ClassVar[str] = "A child waits at a full pipe, and its parent for the child"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(STANDS_S, STANDS_S, "s", "[D] neither can move")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time that nothing has moved"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        for child in window.history.relations.children(window.end_ns):
            since = _since(window, child)
            waiting = [t for tid in child.waiters if (t := window.thread(tid)) is not None and _waits(window, t)]
            if since is not None and waiting and not _read_here(window, child.peer):
                yield _parent(window, child, waiting, since)
        for link in window.history.relations.links(window.end_ns):
            held = [
                t for tid in link.waiters if (t := window.thread(tid)) is not None and t.history.current is not None
            ]
            stuck = evidence.lasting(window, ((t.tid, run) for t in held if (run := t.history.current) is not None))
            if stuck and any(_backed_up(link, t) for t in held if t.tid in stuck):
                yield _own(window, link, [t for t in held if t.tid in stuck])


def _since(window: Window, child: Child) -> float | None:
    """Seconds for which every look has seen it so; None: it is at no pipe of ours, or has just come there."""
    if not child.back or child.syscall not in _WRITES:
        return None
    same = None
    for report in reversed(window.history.relations.reports(Children, end_ns=window.end_ns)):
        if (child.pid, child.syscall, child.peer, child.cpu_s) not in _known(report):
            break
        same = report.at_ns  # a report stands until the next one
    return (window.end_ns - same) / 1e9 if same is not None else None


def _known(report: Children) -> set[tuple[int, str, str, float]]:
    return {(c.pid, c.syscall, c.peer, c.cpu_s) for c in report.children}


def _waits(window: Window, thread: ThreadWindow) -> bool:
    run = thread.history.current
    if run is None:
        return False
    if run.wait.syscall.startswith("epoll_"):  # a loop that has nothing to do: a task waits for the child's end
        tasks = window.history.aio.tasks.values()
        return any(t.current is not None and t.current.wait.via == _FOR_CHILD for t in tasks)
    return run.wait.kind is WaitKind.CHILD or _reads(run)


def _reads(run: Run) -> bool:
    """It reads a pipe: not the one that the child is at, see `_read_here`."""
    return run.wait.peer is not None and run.wait.peer.kind == "pipe" and run.wait.syscall in _READS


def _read_here(window: Window, pipe: str) -> bool:
    """Whether a thread of this process is in a call on that pipe: it takes out what the child writes."""
    runs = [t.history.current for t in window.threads if t.alive]
    return any(r is not None and r.wait.peer is not None and r.wait.peer.name == pipe for r in runs)


def _others(window: Window, waiting: list[ThreadWindow]) -> bool:
    """Whether somebody is left who might read it later: a thread that does something now."""
    mine = {t.tid for t in waiting}
    runs = [t.history.current for t in window.threads if t.alive and t.tid not in mine]
    return any(r is not None and r.state in (State.RUNNING, State.RUNNABLE, State.GIL) for r in runs)


def _parent(window: Window, child: Child, waiting: list[ThreadWindow], stood: float) -> Observation:
    run = waiting[0].history.current
    assert run is not None  # _waits has looked at it
    stood = min(stood, (window.end_ns - max(r.began_ns for t in waiting if (r := t.history.current))) / 1e9)
    tids = [t.tid for t in waiting]
    name = f"process {child.pid}" + (f" ({child.name})" if child.name else "")
    certain = not _others(window, waiting)
    reads = _reads(run)
    until = f"to read another pipe of {name}" if reads else f"for {name} to end"
    kinds = {"pipe": "a pipe", "socket": "a pair of sockets"}
    what = kinds.get(child.peer.partition(":")[0], "a terminal")
    return Observation(
        subject=f"child {child.pid}",
        value=stood,
        lower=stood,
        samples=window.samples,
        episodes=1,
        confidence=Confidence.EXACT if certain else Confidence.INFERRED,
        label=name,
        title=f"{evidence.who(window, tids)} waits for a child that waits at a full pipe",
        summary=(
            f"{evidence.who(window, tids)} waits in {evidence.frame_spot(run.stack.user_leaf)} {until}, and "
            f"that waits to write into {what} ({child.peer}) whose other end this process has, and which no thread "
            f"here reads. Neither has moved for {duration(stood)}."
        ),
        gain=f"{evidence.who(window, tids)} and the child, which will not move again before a restart.",
        check_next=(
            f"What does {name} write: its output, or what it has put into a queue? Read it before waiting for its end."
        ),
        where=evidence.places(run.stack),
        threads=tuple(tids),
        stacks=tuple(
            one
            for t in waiting[:3]
            if t.history.current is not None
            for one in evidence.shown("waits for it", t.tid, t.name, t.history.current.stack)
        ),
        score=95 if certain else None,
        severity_cap="" if certain else "info",
    )


def _backed_up(link: Link, thread: ThreadWindow) -> bool:
    """A pipe to a parent, or another process, that is not at it."""
    return (
        link.kind in ("pipe", "unix")
        and not link.reads
        and (run := thread.history.current) is not None
        and not users_of(link, run.stack, thread.tid)
        and bool(link.owners)
        and not any(owner.waits for owner in link.owners)
    )


def _own(window: Window, link: Link, held: list[ThreadWindow]) -> Observation:
    run = held[0].history.current
    assert run is not None  # `lasting` has looked at it
    stood = (window.end_ns - run.since_ns) / 1e9
    owners = " and ".join(f"process {o.pid} ({o.name})" if o.name else f"process {o.pid}" for o in link.owners[:3])
    tids = [t.tid for t in held]
    who = f"{evidence.who(window, tids)} {waits(len(tids))}"
    return Observation(
        subject=f"{link.kind} {link.inode}",
        value=stood,
        lower=stood,
        samples=window.samples,
        episodes=1,
        confidence=Confidence.EXACT,
        label=f"fd {link.fd}",
        title=f"{who} to write, and nobody reads",
        summary=(
            f"{who} in {evidence.frame_spot(run.stack.user_leaf)} to write into a "
            f"{'pipe' if link.kind == 'pipe' else 'socket'} (fd {link.fd}) whose other end {owners} has, without "
            f"reading it, for {duration(stood)}."
        ),
        gain="",
        check_next=(
            f"What does {owners} do: does it wait for this process to end (join, wait) before it has read everything?"
        ),
        where=evidence.places(run.stack),
        threads=tuple(tids),
        stacks=evidence.shown("waits to write", held[0].tid, held[0].name, run.stack),
        # One that waits may have a reader with time; a crowd at a full pipe is a program that stands still.
        severity_cap="" if len(tids) >= CROWD else "info",
    )


RULE = ChildPipeDeadlock()
