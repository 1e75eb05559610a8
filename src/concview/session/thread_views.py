"""One thread as views show it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice, takewhile

from concview.analysis import accounting, graph
from concview.analysis.blame.tracker import Told
from concview.analysis.history import History
from concview.analysis.locks import holds_of
from concview.analysis.records import Run, ThreadHistory
from concview.model import NO_STACK, NO_WAIT, Confidence, Hold, State
from concview.session.queues import queue_words
from concview.snapshot import NO_SHARES, Shares, ThreadView, WaitTimes

#: Half seconds in a thread's strip: one minute.
STRIP = 120


class ThreadCache:
    """What only changes when a bucket closes."""

    __slots__ = ("cpu", "gil", "seen", "settled", "shares", "still", "still_ns", "strip", "switches", "voluntary")

    def __init__(self) -> None:
        self.seen: object = None
        self.strip: deque[int] = deque(maxlen=STRIP)
        self.shares: Shares = NO_SHARES
        self.cpu: float | None = None
        self.gil: float | None = None
        self.switches: float | None = None
        self.voluntary: float | None = None
        #: In this state alone, with nothing counted, since when; -1: it does something. Once that is all there is to
        #: add up, the sums stay as they are.
        self.still, self.still_ns, self.settled = -1, 0, False

    def update(self, thread: ThreadHistory, start_ns: int) -> None:
        buckets = thread.buckets
        if not buckets or buckets[-1] is self.seen:
            return
        fresh = list(takewhile(lambda b: b is not self.seen, islice(reversed(buckets), STRIP)))
        for bucket in reversed(fresh):
            self.strip.append(accounting.dominant(bucket))
            still = accounting.still(bucket)
            if still < 0 or still != self.still:
                self.still, self.still_ns, self.settled = still, bucket.start_ns, False
        self.seen = buckets[-1]
        if self.settled:
            return
        recent = accounting.since(buckets, start_ns)
        self.settled = self.still >= 0 and bool(recent) and recent[0].start_ns >= self.still_ns
        nanoseconds, wall = accounting.total(recent)
        self.shares = accounting.to_shares(nanoseconds)
        if wall <= 0:
            return
        known = [b for b in recent if b.cpu_ns >= 0]
        self.cpu = 100.0 * sum(b.cpu_ns for b in known) / wall if known else None
        self.gil = sum(b.gil_ns for b in recent) / wall
        counted = [b for b in recent if b.voluntary >= 0]
        if counted:
            self.voluntary = sum(b.voluntary for b in counted) * 1e9 / wall
            self.switches = self.voluntary + sum(max(b.involuntary, 0) for b in counted) * 1e9 / wall


def thread_view(
    thread: ThreadHistory,
    history: History,
    cache: ThreadCache,
    edges: dict[int, graph.Edge],
    holders_now: Collection[int],
    width: int,
    exact: bool,
    told: Told | None = None,
    waits: WaitTimes | None = None,
) -> ThreadView:
    now = history.now_ns
    moment = history.hello is not None and bool(history.hello.target.core)  # a core file has no past
    run = thread.current or (thread.runs[-1] if thread.runs else None)
    alive = thread.gone_ns == 0
    state = run.state if run is not None and alive else State.UNKNOWN
    edge = edges.get(thread.tid) if alive else None
    strip = tuple(cache.strip)[-width:] if width else ()
    ahead = told.way[0] if told is not None and alive and told.way else None
    if ahead is not None and not (ahead.taken and ahead.nodes and ahead.nodes[0] > 0):
        ahead = None
    return ThreadView(
        tid=thread.tid,
        name=thread.name,
        native=thread.native,
        alive=alive,
        age_s=max(0.0, (now - thread.born_ns) / 1e9),
        state=state,
        since_s=max(0, now - run.since_ns) / 1e9 if run is not None and not moment else 0.0,
        unsure_s=run.unsure_ns / 1e9 if run is not None and not moment else 0.0,
        since_open=run is not None and run.before_ns == 0 and not run.woken,
        reason=_reason(run, edge, history) if alive else "ended",
        shares=cache.shares,
        strip=(-1,) * (width - len(strip)) + strip,
        cpu_percent=cache.cpu,
        gil_held=cache.gil if history.gil else None,
        interpreter=history.interpreters.of_thread.get(thread.tid, 0) if alive else 0,
        holds_gil=thread.tid in holders_now and alive,
        switches_per_s=cache.switches,
        voluntary_per_s=cache.voluntary,
        stack=run.stack if run is not None else NO_STACK,
        wait=run.wait if run is not None else NO_WAIT,
        holds=_visible_holds(run, exact) if run is not None and alive else (),
        blocked_by=edge.holder if edge is not None else 0,
        blocked_confidence=edge.confidence if edge is not None else Confidence.UNKNOWN,
        because=told.because if told is not None and alive else "",
        root=told.root if told is not None and alive else "",
        waiting=told.waiting if told is not None and alive else 0,
        exact=waits,
        held_by=ahead.nodes[0] if ahead is not None else 0,
        held_confidence=ahead.confidence if ahead is not None else Confidence.UNKNOWN,
        c_lock=_c_lock(run, history, thread.tid) if run is not None and alive else 0,
    )


def _c_lock(run: Run, history: History, tid: int) -> int:
    if run.state is not State.LOCK or run.classification.via != "native":
        return 0
    return next((one.address for one in history.relations.natives() if one.tid == tid and one.kind), 0)


def _visible_holds(run: Run, exact: bool) -> tuple[Hold, ...]:
    if not run.holds and not run.stack.holding:
        return ()
    waited = run.classification.site
    return tuple(h for h in holds_of(run, exact) if waited is None or h.lock or h.site.key != waited.key)


def _reason(run: Run | None, edge: graph.Edge | None, history: History) -> str:
    if run is None:
        return "not sampled yet"
    if edge is None:
        return queue_words(run, history.depths) or run.classification.reason
    name = history.name(edge.holder)
    if edge.via == "Thread.join":
        return f"joins {name}"
    if edge.via:
        sure = "" if edge.confidence is Confidence.EXACT else " (inferred)"
        return f"waits for {graph.LINKS[edge.via].waits_for.format(name)}{sure}"
    sure = "" if edge.confidence is Confidence.EXACT else " (inferred)"
    if edge.holder == edge.waiter:
        return f"{run.classification.reason}, which it holds itself"
    return f"{run.classification.reason}, held by {name}{sure}"
