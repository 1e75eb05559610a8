"""Connections wait where the program listens, and nobody accepts them.

What it sees:
    Connections that the kernel has made and keeps in the queue of a listening socket (TCP or Unix), for a second and
    longer, with the threads that should accept them and what they do instead. Also a queue that is full: whoever
    connects then is turned away.

Why it hurts:
    A client that waits there is connected and gets no answer. No log of the server has a line of it, its own times do
    not count the wait, and neither does any pool's: the request has not begun. Where the queue is full the kernel drops
    what comes; the client's kernel tries again after 1, 3, 7 s, and its user sees a timeout.

How it is measured:
    Read from the kernel's socket table twice a second: length and bound of each queue, who is in it, and how many were
    turned away. The measure is the longest time for which one connection was seen in the queue, which is less than it
    waited. Taking one out takes microseconds; thresholds 1 s and 2 s [S: RFC 6298, a first attempt that is lost is
    repeated after 1 s]; one that was turned away has waited that second. Demo pair: 4.5 s (bad), none (fixed). A full
    queue with a warning scores 90.

Fix:
    Let whoever accepts do nothing else, and have enough of them.

        server = ThreadingHTTPServer(address, Handler)         # not HTTPServer: a thread for each connection
        gunicorn -k gthread --workers 4 --threads 8 app        # not sync with one worker
        await asyncio.to_thread(slow_call)                     # not in the event loop itself

    Where it is the one worker that is busy, what keeps it busy is the fault: a call without a time limit, a slow query.
    A longer queue (the backlog of listen(), net.core.somaxconn) only makes them wait longer.

When it is fine:
    While the program starts, or is being stopped, behind a proxy that tries another one meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.accept_queues import QueueWindow, queues, refers
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Inapplicable, Observation, Thresholds
from concview.model import AcceptQueues, Confidence, Stack, State
from concview.text import duration, plural

INFO_S, WARN_S = 1.0, 2.0
#: How long whoever was turned away waits at least before the next attempt (RFC 6298, 2.1: the initial timeout).
RETRY_S = 1.0
#: Of a full queue.
FULL_SCORE = 90
#: Threads that are named, stacks that are shown.
MOST_NAMED, MOST_SHOWN = 50, 3


class AcceptBacklog:
    id: ClassVar[str] = "accept-backlog"
    title: ClassVar[str] = "Connections wait, and nobody accepts them"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        INFO_S, WARN_S, "s", "[S] RFC 6298: a lost attempt to connect is repeated after 1 s"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "the longest time for which one connection waited to be accepted"

    def observe(self, window: Window) -> Iterable[Observation]:
        report = window.history.relations.at(AcceptQueues, window.end_ns)
        if report is None:
            raise Inapplicable("nobody has looked at sockets that listen", "record again, with this version")
        if report.why:
            raise Inapplicable(report.why, "run concview where it may see them")
        for queue in queues(window.history, window.start_ns, window.end_ns):
            if queue.waited_s <= 0 and queue.refused <= 0:
                continue
            if not queue.threads and queue.shared:
                continue  # another process accepts there, and this one has only made the socket
            yield _told(window, queue)


def _told(window: Window, queue: QueueWindow) -> Observation:
    threads = [t for tid in queue.threads if (t := window.thread(tid)) is not None]
    at, many = queue.last.name, max(queue.most, queue.last.waiting)
    refused = queue.refused > 0
    value = max(queue.waited_s, RETRY_S if refused else 0.0)
    stacks = {t.tid: _busy(t) for t in threads}
    return Observation(
        subject=f"{queue.last.kind} {at}",
        value=value,
        lower=value,
        samples=window.samples,
        episodes=1,
        confidence=Confidence.EXACT if queue.exact or not threads else Confidence.INFERRED,
        label=at,
        title=_title(at, many, queue.refused),
        summary=" ".join([_queued(window, queue, many), *_turned_away(queue), _who(window, queue, threads, stacks)]),
        gain=f"{plural(many or queue.refused, 'client')} answered up to {duration(value)} sooner.",
        check_next=_next(queue),
        where=evidence.places(*stacks.values()),
        threads=tuple([t.tid for t in threads[:MOST_NAMED]]),
        stacks=tuple(
            one
            for t in threads[:MOST_SHOWN]
            for one in evidence.shown("worker", t.tid, t.name, stacks[t.tid], _how(queue, t.tid))
        ),
        floor=FULL_SCORE if (queue.full or refused) and value >= WARN_S else 0,
    )


def _title(at: str, many: int, refused: int) -> str:
    if not many:
        turned = "was" if refused == 1 else "were"
        return f"{plural(refused, 'attempt')} to connect to {at} {turned} turned away: the queue was full"
    wait, them = ("waits", "it") if many == 1 else ("wait", "them")
    return f"{plural(many, 'connection')} {wait} at {at}, and nobody accepts {them}"


def _queued(window: Window, queue: QueueWindow, many: int) -> str:
    now = queue.last.waiting
    if not many:
        return f"Nobody was seen to wait at {queue.last.kind} {queue.last.name}."
    said = f"{plural(many, 'connection')} to {queue.last.kind} {queue.last.name} waited to be accepted"
    if now != many:
        said += f" at a time ({now} now)"
    if queue.waited_s > 0:
        said += f", {'' if many == 1 else 'one of them '}for at least {duration(queue.waited_s)}"
    if queue.share > 0:
        said += f"; {queue.mean:.1f} on average over {duration(window.seconds)}"
    return said + "."


def _turned_away(queue: QueueWindow) -> list[str]:
    limit = f"The queue has room for {queue.last.most + 1}" if queue.last.most >= 0 else ""
    if queue.refused > 0:
        return [
            f"{limit}, and was full: {plural(queue.refused, 'attempt')} to connect "
            f"{'was' if queue.refused == 1 else 'were'} turned away meanwhile."
        ]
    # Who connects to a Unix socket waits in connect(), unless it is one that does not block.
    then = "is turned away" if queue.last.kind == "tcp" else "waits in connect()"
    return [f"{limit}, and is full: whoever comes now {then}."] if queue.full else []


def _who(window: Window, queue: QueueWindow, threads: list[ThreadWindow], stacks: dict[int, Stack | None]) -> str:
    others = f" Shared with {plural(len(queue.shared), 'other process', 'other processes')}." if queue.shared else ""
    if not threads:
        return "No thread of this process is seen to accept there." + others
    who = evidence.who(window, [t.tid for t in threads])
    one = len(threads) == 1
    does = [(t, stack) for t in threads if (stack := stacks[t.tid]) is not None]
    if not does:
        return f"{who} {'accepts' if one else 'accept'} there.{others}"
    thread, stack = does[0]
    run = thread.history.current
    now = f" ({run.classification.reason})" if run is not None and run.stack is stack else ""
    spot = evidence.frame_spot(stack.user_leaf if stack is not None else None)
    accept = "the only thread of this process that accepts there, is" if one else "who accept there, are"
    return f"{who}, {accept} mostly in {spot}{now}.{others}"


def _how(queue: QueueWindow, tid: int) -> str:
    """Why it is taken to be one that accepts there."""
    user = refers(queue.last, tid)
    if queue.exact or user is None:
        return "accepts there"
    return f"has the socket ({user.path or user.how} in {evidence.spot(user.file, user.line, user.function)})"


def _busy(thread: ThreadWindow) -> Stack | None:
    """What it mostly does instead."""
    return evidence.heaviest((c.stack, c.ns) for c in thread.wait_profiles if c.state is not State.IDLE)


def _next(queue: QueueWindow) -> str:
    where = "ss -xl" if queue.last.kind == "unix" else "ss -tlm"
    return (
        f"{where} shows the queue (Recv-Q) and its bound (Send-Q), nstat -az TcpExtListenOverflows what was turned "
        "away. "
        "What does whoever accepts do all the time?"
    )


RULE = AcceptBacklog()
