"""Snapshots as Prometheus metrics.

Names follow the conventions (base units, `_total` for counters, `_ratio` for shares); gauges are means over the window
of the last ten seconds unless the help says otherwise. Every metric has the labels `pid` and `process` (what a person
calls the process). Label values are cut to 200 characters, and no metric has more than `MOST` names a process: the
rest is added up under "other" where adding means something, else left out and counted in
`concview_series_left_out`. A name that has a place keeps it as long as it is seen: whoever stores the series would
otherwise get others with every scrape, without bound.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from concview.analysis.work import Called
from concview.analysis.work_totals import OTHER
from concview.fleet.watch import Watched
from concview.model import STATES, Site
from concview.session.work import title
from concview.snapshot import Snapshot, Status, WorkTotal
from concview.text import file_name, group

#: Series of one metric with a label of the target's own words, for one process.
MOST = 50
_LENGTH = 200
_LABELS = ("pid", "process")
#: A name's place goes to another one when it was not seen for so long.
PLACE_S = 3600.0
_Key = tuple[tuple[str, str], ...]


class Places:
    """Which names of a metric have series of their own. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], dict[_Key, float]] = {}  #: (pid, metric) -> name -> when it was seen last

    def choose(self, pid: str, metric: str, wanted: Iterable[_Key]) -> Collection[_Key]:
        """Those of `wanted`, most important first, that have a place."""
        now, seen = self._clock(), self._seen.setdefault((pid, metric), {})
        new = []
        for key in wanted:
            if key in seen:
                seen[key] = now
            else:
                new.append(key)
        if new and len(seen) + len(new) > MOST:
            for key in [k for k, at in seen.items() if now - at > PLACE_S]:
                del seen[key]
        seen.update((key, now) for key in new[: MOST - len(seen)])
        return seen.keys()

    def keep(self, pids: Collection[str]) -> None:
        """Forget the other processes."""
        for key in [k for k in self._seen if k[0] not in pids]:
            del self._seen[key]


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"


def _place(site: Site) -> str:
    return f"{file_name(site.file)}:{site.line}" if site.file else ""


class _Page:
    """The families of one scrape, each made when it is first asked for."""

    def __init__(self, places: Places | None = None) -> None:
        self._places = places or Places()
        self._families: dict[str, Metric] = {}
        self._counts: dict[tuple[str, tuple[str, ...]], float] = {}
        self._counted: dict[str, tuple[str, tuple[str, ...]]] = {}  #: metric -> its help and labels
        self.left_out: dict[tuple[str, str], int] = defaultdict(int)

    def gauge(self, name: str, text: str, labels: Mapping[str, str], value: float | None, total: bool = False) -> None:
        """One series; None is left out: not measured is no 0. `total`: a counter."""
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            make = CounterMetricFamily if total else GaugeMetricFamily
            family = self._families[name] = make(f"concview_{name}", text, labels=list(labels))
            if "quantile" in labels:  # which only a summary may have; how many and how long are counters of their own
                family.type = "summary"
        family.add_metric([_cut(v) for v in labels.values()], value)  # type: ignore[attr-defined]

    def count(self, name: str, text: str, labels: Mapping[str, str], value: float) -> None:
        """A counter; the values of those with the same labels are added up."""
        key = name, tuple(_cut(v) for v in labels.values())
        self._counts[key] = self._counts.get(key, 0.0) + value
        self._counted[name] = text, tuple(labels)

    def many(
        self,
        name: str,
        text: str,
        common: Mapping[str, str],
        rows: Iterable[tuple[Mapping[str, str], float | None]],
        add_up: bool = False,
    ) -> None:
        """Series with labels of the target's own words, at most `MOST`; new ones greatest first."""
        summed: dict[_Key, float] = {}
        for labels, value in rows:
            if value is None:
                continue
            key = tuple((k, _cut(v)) for k, v in labels.items())
            # Two things of one name: a sum where that means something, else the greater one.
            known = summed.get(key)
            summed[key] = value if known is None else known + value if add_up else max(known, value)
        ordered = sorted(summed.items(), key=lambda item: -item[1])
        there = self._places.choose(common["pid"], name, [key for key, _ in ordered])
        for key, value in ordered:
            if key in there:
                self.gauge(name, text, {**common, **dict(key)}, value)
        if rest := [(key, value) for key, value in ordered if key not in there]:
            self.left_out[common["pid"], common["process"]] += len(rest)
            if add_up:
                names = [k for k, _ in rest[0][0]]
                self.gauge(name, text, {**common, **dict.fromkeys(names, OTHER)}, sum(v for _, v in rest))

    def families(self) -> Iterator[Metric]:
        for (name, values), value in self._counts.items():
            text, labels = self._counted[name]
            self.gauge(name, text, dict(zip(labels, values, strict=True)), value, total=True)
        for (pid, process), number in self.left_out.items():
            self.gauge(
                "series_left_out",
                "Series beyond the bound, not shown or added up under 'other'",
                {"pid": pid, "process": process},
                number,
            )
        yield from self._families.values()


def fill(page: _Page, watched: Watched) -> None:
    """The metrics of one process."""
    snapshot = watched.snapshot()
    common = dict(zip(_LABELS, (str(watched.pid), _cut(watched.name)), strict=True))
    live = snapshot is not None and snapshot.status in (Status.LIVE, Status.STOPPED) and snapshot.samples > 0
    page.gauge("up", "1 while the process is watched, 0 when it cannot be or has ended", common, float(live))
    if snapshot is None or not live:
        return
    target = snapshot.target
    if target is not None:
        info = {**common, "python": target.python, "engine": snapshot.engine, "command": " ".join(target.command)}
        page.gauge("target_info", "What is watched; always 1", info, 1.0)
    for part in (_process, _threads, _locks, _queues, _listening, _findings, _blame, _work, _own):
        part(page, common, snapshot)


def _process(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    page.gauge(
        "process_stopped",
        "1 while the process is stopped by a signal or a debugger",
        common,
        float(s.status is Status.STOPPED),
    )
    page.gauge("cpu_cores", "CPU cores in use", common, None if s.cpu_percent is None else s.cpu_percent / 100)
    page.gauge("context_switches_per_second", "Context switches of all threads", common, s.switches_per_s)
    page.gauge("resident_memory_bytes", "Resident memory", common, float(s.rss) if s.rss else None)
    page.gauge("open_fds", "Open file descriptors", common, float(s.fds) if s.fds else None)
    point = s.series[-1] if s.series else None
    if point is not None:
        page.gauge(
            "run_queue_delay_ratio",
            "Seconds that threads waited for a CPU, per second, all together",
            common,
            point.run_delay,
        )
    if s.gil.available:
        page.gauge("gil_held_ratio", "Share of the time in which a thread held the GIL", common, s.gil.held_share)
        page.gauge("gil_waiters", "Threads that wait for the GIL, on average", common, s.gil.waiters_mean)
        page.gauge("gc_ratio", "Share of the time in which the garbage collector ran", common, s.gil.collecting_share)


def _threads(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    alive = [t for t in s.threads if t.alive]
    page.gauge("threads", "Threads that are alive", common, float(len(alive)))
    page.gauge("thread_births_per_second", "Threads started", common, s.births_per_s)
    groups: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(STATES))
    for thread in alive:
        if not thread.native:
            sums = groups[group(thread.name) or "unnamed"]
            for number, share in enumerate(thread.shares):
                sums[number] += share
    page.many(
        "threads_in_state",
        "Python threads in a state, on average, by the group that their names have in common",
        common,
        (
            ({"group": name, "state": state}, sums[i])
            for name, sums in groups.items()
            for i, state in enumerate(STATES)
            if sums[i] > 0
        ),
        add_up=True,
    )


def _locks(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    def rows(value: Callable[[int], float | None]) -> Iterator[tuple[Mapping[str, str], float | None]]:
        for number, lock in enumerate(s.locks):
            yield (
                {"lock": lock.site.expression or "unnamed", "site": _place(lock.site), "kind": lock.kind},
                value(number),
            )

    page.many(
        "lock_waiters", "Threads that wait for a lock, on average", common, rows(lambda i: s.locks[i].waiters_mean)
    )
    page.many(
        "lock_held_ratio", "Share of the time in which a lock was held", common, rows(lambda i: s.locks[i].held_share)
    )


def _queues(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    named = [({"queue": q.name or q.kind, "kind": q.kind}, q) for q in s.depths]
    page.many("queue_items", "Items in a queue, now", common, ((n, float(q.size)) for n, q in named))
    page.many(
        "queue_capacity",
        "Items that a queue may hold; without a bound it has no series",
        common,
        ((n, float(q.most)) for n, q in named if q.most),
    )
    page.many("queue_puts_per_second", "Items put", common, ((n, q.put_rate) for n, q in named))
    page.many("queue_gets_per_second", "Items taken", common, ((n, q.get_rate) for n, q in named))


def _listening(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    named = [({"address": v.name, "kind": v.kind}, v) for v in s.listening]
    page.many(
        "accept_queue_connections",
        "Connections that nobody has accepted yet, on average, by the socket",
        common,
        ((n, v.mean) for n, v in named),
    )
    page.many(
        "accept_queue_capacity",
        "Connections that the queue has room for",
        common,
        ((n, float(v.limit)) for n, v in named if v.limit >= 0),
    )
    page.many(
        "accept_queue_oldest_seconds",
        "How long the oldest of those that wait to be accepted has been seen to wait, at least",
        common,
        ((n, v.oldest_s) for n, v in named),
    )
    page.many(
        "accept_queue_refused",
        "Attempts to connect that were turned away within the window: the queue was full",
        common,
        ((n, float(v.refused)) for n, v in named if v.refused >= 0),
    )


def _findings(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    scores: dict[tuple[str, str], float] = {}
    for finding in s.findings:
        key = (finding.id, finding.severity.value)
        scores[key] = max(scores.get(key, 0.0), float(finding.score))
    rows = (({"id": i, "severity": severity}, score) for (i, severity), score in scores.items())
    text = "Score (0 to 100) of a finding that stands, or stood within the last minute"
    page.many("finding_score", text, common, rows)


def _blame(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    blame = s.blame
    if blame is None:
        return
    for part in ("own", "held_up", "waits", "starved", "quiet", "unexplained"):
        page.gauge(
            "thread_time_ratio",
            "Where all thread time went, each wait followed to its end; the parts sum to 1",
            {**common, "part": part},
            getattr(blame, part),
        )
    page.gauge("active_threads", "Active threads (not idle or pausing), on average", common, blame.active)
    page.gauge(
        "verdict",
        "The verdict in a word, as a label; 1 for the one that holds",
        {**common, "verdict": blame.verdict},
        1.0,
    )
    page.gauge(
        "nothing_moved_seconds", "Since when nothing has moved in the process; 0: something has", common, blame.still_s
    )


def _work(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    work = s.work
    if work is None:
        return
    # One set of names for all of these, so that they can be joined: the one that counters have, for theirs must not
    # change with every scrape.
    named = {(t.kind, t.name) for t in work.totals if t.system}

    def name(w: Called) -> dict[str, str]:
        known = not work.totals or (w.kind, w.name) in named
        return {"kind": w.kind.value, "work": title(w) if known else OTHER}

    page.many(
        "work_in_flight",
        "Requests, jobs, queries and calls in flight, on average, by name",
        common,
        ((name(r), r.in_flight) for r in work.routes),
        add_up=True,
    )
    page.many(
        "work_oldest_seconds",
        "Age of the oldest one in flight, at least, by name",
        common,
        ((name(w), w.sure_s) for w in work.now),
    )
    page.many(
        "work_lasted_seconds",
        "How long those lasted that ended within the window, by name; of what is shorter than a look, too long",
        common,
        (
            ({**name(r), "quantile": quantile}, value)
            for r in work.routes
            if name(r)["work"] != OTHER
            for quantile, value in (("0.5", r.p50_s), ("0.95", r.p95_s))
        ),
    )
    for total in work.totals:
        _total(page, {**common, **name(total), **({} if total.system else {"work": OTHER})}, total)
    _named(page, common, s)


def _total(page: _Page, labels: Mapping[str, str], total: WorkTotal) -> None:
    page.count(
        "work_seen",
        "Requests, jobs, queries and calls that looks saw, by name: five looks a second",
        labels,
        float(total.seen),
    )
    page.count("work_ended", "Of these, those that were seen to end", labels, float(total.over))
    page.count("work_ended_seconds", "How long those lasted, together, in seconds", labels, total.over_s)
    page.count("work_busy_seconds", "How long all of them were in flight, together, in seconds", labels, total.busy_s)
    for state, seconds in zip((*STATES, "awaits"), (*total.states_s, total.tasks_s), strict=True):
        if seconds > 0:
            page.count(
                "work_state_seconds",
                "Seconds of the threads that work on it, by state; 'awaits': of tasks alone",
                {**labels, "state": state},
                seconds,
            )


def _named(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    """Findings and causes by in whose name they are."""
    rows = [
        ({"id": f.id, "kind": w.kind, "work": w.name}, float(w.threads))
        for f in s.findings
        if not f.recent
        for w in f.work
        if w.threads
    ]
    page.many(
        "finding_work_threads",
        "Threads and tasks that a finding is about, by what they served most of the time",
        common,
        rows,
        add_up=True,
    )
    blame = s.blame
    if blame is None or blame.seconds <= 0:
        return
    for metric, text, which in (
        ("work_held_up_threads", "Threads and tasks that wait for others, on average, by what they serve", "work"),
        ("work_in_the_way_threads", "Those that others wait for, on average, by what they serve", "work_ahead"),
    ):
        served = [w for c in blame.causes if c.path for w in getattr(c, which)]
        page.many(
            metric,
            text,
            common,
            (({"kind": w.kind, "work": w.name}, w.seconds / blame.seconds) for w in served),
            add_up=True,
        )


def _own(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    page.gauge("own_cpu_cores", "CPU cores that watching takes", common, s.own_cpu_percent / 100)
    page.gauge("samples", "Samples of all threads that were taken", common, float(s.samples), total=True)
    page.gauge(
        "sample_misses",
        "Samples that were due and were not taken or could not be read",
        common,
        float(s.misses),
        total=True,
    )
    page.gauge("sample_rate_hertz", "Samples a second over the last second", common, s.achieved_hz)


class SnapshotCollector(Collector):
    """Hands Prometheus' own code the metrics of everything that is watched, afresh at each scrape."""

    def __init__(self, watched: Callable[[], Iterable[Watched]]) -> None:
        self._watched = watched
        self._places = Places()
        self._lock = threading.Lock()  #: scrapes and pushes come at the same time

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            page, every = _Page(self._places), list(self._watched())
            self._places.keep({str(each.pid) for each in every})
            for each in every:
                fill(page, each)
            families = list(page.families())
        yield from families

    def describe(self) -> list[Metric]:
        return []  # without it the registry would scrape once to learn the names
