"""From history, window and judgement to the snapshot that views show."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile

import msgspec

from concview.analysis import accounting, graph, rates
from concview.analysis import window as windows
from concview.analysis.accept_queues import queues as accept_queues
from concview.analysis.blame.tracker import Told
from concview.analysis.history import History
from concview.analysis.interpreters import MAIN
from concview.analysis.records import GilSums, ProcessBucket, ThreadHistory
from concview.analysis.window import Window
from concview.analysis.work_totals import Totals
from concview.catalogue.judge import Judgement
from concview.model import Peer, State
from concview.session.locks import as_of_now, chain_views, lock_views
from concview.session.moment import timeless
from concview.session.queues import queue_views, queues_now
from concview.session.task_views import MOST_TASKS, aio_view
from concview.session.thread_views import STRIP, ThreadCache, thread_view
from concview.session.work import WorkComposer
from concview.snapshot import (
    NO_SHARES,
    Blame,
    GilView,
    InterpreterView,
    ListeningView,
    LockView,
    PeerView,
    Point,
    QueueView,
    Shares,
    Snapshot,
    Status,
    ThreadView,
)

WINDOW_NS = windows.WINDOW_NS
#: Half seconds shown as sparklines: two minutes.
SERIES = 240
#: Half seconds kept for the timeline: ten minutes.
KEPT = 1200


class Composer:
    """Makes snapshots; keeps per-thread caches between them. `points` are already known ones, for a look back."""

    def __init__(
        self,
        live: bool,
        window_ns: int = WINDOW_NS,
        points: Iterable[Point] | None = None,
        totals: Totals | None = None,
    ) -> None:
        self._live = live
        self._window_ns = window_ns
        self._threads: dict[int, ThreadCache] = {}
        self._back = points is not None
        self._points: deque[Point] = deque(points or (), maxlen=KEPT)
        self._pointed: ProcessBucket | None = None
        self._locks: tuple[LockView, ...] = ()
        self._peers: tuple[PeerView, ...] = ()
        self._listening: tuple[ListeningView, ...] = ()
        self._depths: tuple[QueueView, ...] = ()
        self._states: Shares = NO_SHARES
        self._summed: Window | None = None
        self.most_tasks = MOST_TASKS
        self._work = WorkComposer(totals)

    def compose(
        self,
        history: History,
        window: Window | None,
        judgement: Judgement,
        ended: bool,
        blame: Blame | None = None,
        because: Mapping[int, Told] | None = None,
    ) -> Snapshot:
        hello = history.hello
        if hello is None:
            return Snapshot(Status.WAITING)
        start_ns = max(history.first_ns, history.now_ns - self._window_ns)
        recent = list(takewhile(lambda b: b.end_ns > start_ns, reversed(history.buckets)))[::-1]
        if not self._back:
            self._series(history)
        exact = hello.capabilities.get("held-locks")
        exact_available = exact is not None and exact.available
        # One graph for everything that says who waits for whom: judged a moment earlier, it would contradict the rest.
        alive = history.threads.values()
        edges = graph.edges(alive, exact_available)
        threads = self._thread_views(history, start_ns, exact_available, edges, because or {})
        if window is not None and window is not self._summed:
            self._summed = window
            self._locks = lock_views(window)
            self._peers = _peer_views(window)
            self._listening = _listening_views(window)
            self._depths = queue_views(window)
        locks = as_of_now(self._locks, alive, exact_available)
        stats = history.stats
        aio = aio_view(
            history.aio,
            window.aio if window is not None else None,
            {t.tid: t.name for t in alive},
            {-node: said for node, said in (because or {}).items() if node < 0},
            self.most_tasks,
        )
        status, ending = self._status(history, ended)
        return Snapshot(
            status=status,
            ending=ending,
            exit_status=history.bye.status if history.bye is not None else -1,
            at_ns=history.now_ns,
            epoch=hello.epoch + (history.now_ns - hello.at_ns) / 1e9,
            elapsed_s=(history.now_ns - history.first_ns) / 1e9,
            target=hello.target,
            engine=hello.engine,
            capabilities={**hello.capabilities, **windows.agent_capabilities(history)},
            rate_hz=hello.rate_hz,
            budget_percent=hello.budget_percent,
            target_hz=stats.target_hz if stats else hello.rate_hz,
            achieved_hz=stats.achieved_hz if stats else 0.0,
            own_cpu_percent=stats.own_cpu_percent if stats else 0.0,
            helper_cpu_percent=stats.helper_cpu_percent if stats else 0.0,
            helper_limit_percent=stats.helper_limit_percent if stats else 0.0,
            threads_there=stats.threads if stats else -1,
            threads_seen=stats.seen if stats else -1,
            own_wait_percent=stats.own_wait_percent if stats else 0.0,
            samples=stats.samples if stats else 0,
            misses=stats.misses if stats else 0,
            gaps=history.gaps.longest(),
            gap_s=history.gaps.seconds,
            repaired=stats.repaired if stats else 0,
            dropped=stats.dropped if stats else 0,
            doubtful=stats.doubtful if stats else 0,
            seconds=(history.now_ns - start_ns) / 1e9,
            detail_s=window.seconds if window is not None else 0.0,
            threads=threads,
            births_per_s=sum(b.births for b in recent) / max(0.5, 0.5 * len(recent)),
            gil=_gil_view(history, recent),
            locks=locks,
            chains=chain_views(edges, history, locks),
            peers=_peers_now(self._peers, alive),
            listening=self._listening,
            depths=queues_now(self._depths, alive),
            states=self._states,
            cpu_percent=rates.cpu_percent(recent),
            switches_per_s=rates.switches_per_s(recent),
            series=tuple(islice(self._points, max(0, len(self._points) - SERIES), None)),
            rss=history.counters.rss if history.counters else 0,
            fds=history.counters.fds if history.counters else 0,
            findings=judgement.findings,
            pending=judgement.pending,
            clear=judgement.clear,
            not_applicable=judgement.not_applicable,
            notices=tuple(history.notices),
            agent=history.agent,
            aio=timeless(aio) if hello.target.core else aio,
            tasks=history.tasks,
            queues=history.queues,
            calls=history.calls,
            refusal=history.refusal,
            blame=blame,
            work=self._work.compose(history, self._window_ns, threads, because or {}),
        )

    @property
    def points(self) -> tuple[Point, ...]:
        """Of the last ten minutes, oldest first."""
        return tuple(self._points)

    def _status(self, history: History, ended: bool) -> tuple[Status, str]:
        bye = history.bye
        if bye is not None and bye.reason in ("exited", "exec"):
            words = "the target exited" if bye.reason == "exited" else "the target became another program (exec)"
            return Status.EXITED, bye.text or words
        if bye is not None and bye.reason == "lost":
            return Status.LOST, bye.text or "the target cannot be read any more"
        if ended:
            if not self._live:
                return Status.FINISHED, "the recording is at its end"
            return (Status.FINISHED, "") if bye is not None else (Status.LOST, "the collector ended unexpectedly")
        if history.stopped:
            return Status.STOPPED, f"the target is {history.stopped}"
        return (Status.LIVE if self._live else Status.REPLAY), ""

    def _series(self, history: History) -> None:
        """Add the points of buckets closed since the last call."""
        fresh: list[ProcessBucket] = []
        for bucket in reversed(history.buckets):
            if bucket is self._pointed:
                break
            fresh.append(bucket)
        if fresh:
            self._pointed = fresh[0]
            fresh.reverse()
            self._points.extend(map(_point, fresh, _states_of(history, fresh)))

    def _thread_views(
        self,
        history: History,
        start_ns: int,
        exact: bool,
        edges: list[graph.Edge],
        because: Mapping[int, Told],
    ) -> tuple[ThreadView, ...]:
        behind = {e.waiter: e for e in edges}
        holders_now = {history.gil[-1].holder} if history.gil else set()
        holders_now |= {ticks[-1].holder for ticks in history.interpreters.ticks.values() if ticks}
        width = min(STRIP, len(history.buckets))
        sums = [0.0] * len(State)
        views = []
        alive = list(history.threads.values())
        gone = [t for t in history.gone if t.gone_ns > start_ns]
        reports = history.exact.window(start_ns)
        for thread in [*alive, *gone]:
            cache = self._threads.get(thread.tid)
            if cache is None:
                cache = self._threads[thread.tid] = ThreadCache()
            cache.update(thread, start_ns)
            if thread.counts and thread.gone_ns == 0:
                for i, share in enumerate(cache.shares):
                    sums[i] += share
            waits = history.exact.of(thread.tid, reports, history.name) if reports else None
            told = because.get(thread.tid)
            views.append(thread_view(thread, history, cache, behind, holders_now, width, exact, told, waits))
        if len(self._threads) > 2 * (len(alive) + len(gone)) + 100:
            known = {t.tid for t in [*alive, *gone]}
            self._threads = {tid: c for tid, c in self._threads.items() if tid in known}
        self._states = accounting.to_shares(sums)
        return tuple(views)


def _states_of(history: History, buckets: Sequence[ProcessBucket]) -> list[Shares]:
    """How all Python threads together spent each of these half seconds, which are in the order of time."""
    sums = [[0.0] * len(State) for _ in buckets]
    for thread in history.threads.values():
        if not thread.counts:
            continue
        i = len(buckets) - 1
        for one in reversed(thread.buckets):
            while i >= 0 and one.end_ns <= buckets[i].start_ns:
                i -= 1
            while i >= 0 and one.start_ns < buckets[i].end_ns and buckets[i].start_ns < one.end_ns:
                values = accounting.corrected(one.sampled, one.cpu_ns, one.run_delay_ns)
                sums[i] = [a + b for a, b in zip(sums[i], values, strict=True)]
                i -= 1
            if i < 0:
                break
    return list(map(accounting.to_shares, sums))


def _point(bucket: ProcessBucket, states: Shares) -> Point:
    one = [bucket]
    seen = bucket.gil_seen_ns
    after = bucket.after
    return Point(
        at_ns=bucket.end_ns,
        cpu_percent=rates.cpu_percent(one),
        gil_held=bucket.gil_held_ns / seen if seen else None,
        gil_waiters=bucket.gil_waiters_ns / seen if seen else None,
        threads=after.os_threads if after is not None else bucket.threads,
        switches_per_s=rates.switches_per_s(one),
        run_delay=rates.run_delay(one),
        rss=after.rss if after is not None else 0,
        fds=after.fds if after is not None else 0,
        states=states,
    )


def _gil_view(history: History, recent: list[ProcessBucket]) -> GilView:
    seen = sum(b.gil_seen_ns for b in recent)
    if not seen and not history.gil:
        return GilView(False)
    last = history.gil[-1] if history.gil else None
    sampled = sum(b.sampled_ns for b in recent)
    return GilView(
        available=True,
        held_share=sum(b.gil_held_ns for b in recent) / seen if seen else 0.0,
        holder_now=last.holder if last is not None else 0,
        waiters_now=last.waiters if last is not None else 0,
        waiters_mean=sum(b.gil_waiters_ns for b in recent) / seen if seen else 0.0,
        waiters_max=max((b.gil_waiters_max for b in recent), default=0),
        collecting_share=sum(b.collecting_ns for b in recent) / sampled if sampled else 0.0,
        switches_per_s=rates.gil_switches_per_s(recent),
        interpreters=_interpreters(history, recent),
    )


def _interpreters(history: History, recent: list[ProcessBucket]) -> tuple[InterpreterView, ...]:
    """Empty where there is and was one."""
    found = []
    kept = history.interpreters
    inside: dict[int, list[int]] = defaultdict(list)
    for tid, id_ in kept.of_thread.items():
        inside[id_].append(tid)
    for id_, gil in sorted(kept.gil_of.items()):
        threads = tuple(sorted(inside[id_]))
        if gil != id_ or (id_ == MAIN and len(kept.gil_of) < 2):
            found.append(InterpreterView(id_, gil, threads))
            continue
        if id_ == MAIN:
            sums = [GilSums(b.gil_seen_ns, b.gil_held_ns, b.gil_waiters_ns, b.gil_waiters_max) for b in recent]
            last = history.gil[-1] if history.gil else None
        else:
            sums = [b.gils[id_] for b in recent if b.gils and id_ in b.gils]
            last = kept.ticks[id_][-1] if kept.ticks.get(id_) else None
        seen = max(1, sum(s.seen_ns for s in sums))
        found.append(
            InterpreterView(
                id_,
                gil,
                threads,
                held_share=sum(s.held_ns for s in sums) / seen,
                holder_now=last.holder if last is not None else 0,
                waiters_now=last.waiters if last is not None else 0,
                waiters_mean=sum(s.waiters_ns for s in sums) / seen,
                waiters_max=max((s.waiters_max for s in sums), default=0),
            )
        )
    return tuple(found)


def _listening_views(window: Window) -> tuple[ListeningView, ...]:
    views = [
        ListeningView(
            q.last.kind,
            q.last.name,
            q.last.waiting,
            q.mean,
            q.most,
            q.last.most + 1 if q.last.most >= 0 else -1,
            q.refused,
            q.waited_s,
            max(0, q.at_ns - q.last.since_ns) / 1e9 if q.last.since_ns else 0.0,
            q.threads,
            q.exact,
            q.shared,
        )
        for q in accept_queues(window.history, window.start_ns, window.end_ns)
    ]
    return tuple(sorted(views, key=lambda v: (-v.mean, -v.waiting, v.name)))


def _peer_views(window: Window) -> tuple[PeerView, ...]:
    """I/O waits by whom they are with: all connections to one address are one peer."""
    spent: dict[tuple[str, str], int] = defaultdict(int)
    tids: dict[tuple[str, str], set[int]] = defaultdict(set)
    shown: dict[tuple[str, str], Peer] = {}
    for thread in window.threads:
        for one in thread.wait_profiles:
            peer = one.wait.peer
            if peer is None or one.state is not State.IO:
                continue
            key = _peer_key(peer)
            # Of connections that live for a moment the other end is often not to be had: one row for all of them.
            shown[key] = peer if shown.get(key, peer) == peer else Peer(peer.kind, key[1])
            spent[key] += one.ns
            tids[key].add(thread.tid)
    span = max(1, window.end_ns - window.start_ns)
    views = [PeerView(shown[k], ns / span, 0, tuple(sorted(tids[k]))) for k, ns in spent.items()]
    views.sort(key=lambda v: -v.share)
    return tuple(views[:200])


#: Sockets that the kernel's tables had no line of when they were looked up.
_NAMELESS = "sockets (other end not known)"


def _peer_key(peer: Peer) -> tuple[str, str]:
    return (peer.kind, _NAMELESS if peer.nameless else peer.name)


def _peers_now(views: tuple[PeerView, ...], threads: Iterable[ThreadHistory]) -> tuple[PeerView, ...]:
    """The same peers with how many wait for them at the last tick."""
    now = Counter(
        _peer_key(run.wait.peer)
        for run in (t.current for t in threads if t.counts)
        if run is not None and run.wait.peer is not None and run.state is State.IO
    )
    return tuple(
        msgspec.structs.replace(view, waiters_now=now[_peer_key(view.peer)])
        if view.waiters_now != now[_peer_key(view.peer)]
        else view
        for view in views
    )
