"""Snapshots as Prometheus metrics.

Names follow the conventions (base units, `_total` for counters, `_ratio` for shares); gauges are means over the window
of the last ten seconds unless the help says otherwise. Every metric has the labels `pid` and `process` (what a person
calls the process). Label values are cut to 200 characters, and no metric has more than `MOST` series a process: the
rest is added up under "other" where adding means something, else left out and counted in
`concview_series_left_out`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from concview.fleet.watch import Watched
from concview.model import STATES, Site
from concview.session.work import title
from concview.snapshot import Snapshot, Status
from concview.text import file_name, group

#: Series of one metric with a label of the target's own words, for one process.
MOST = 50
_LENGTH = 200
_LABELS = ("pid", "process")
OTHER = "other"


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"


def _place(site: Site) -> str:
    return f"{file_name(site.file)}:{site.line}" if site.file else ""


class _Page:
    """The families of one scrape, each made when it is first asked for."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self.left_out: dict[tuple[str, str], int] = defaultdict(int)

    def gauge(self, name: str, text: str, labels: Mapping[str, str], value: float | None, total: bool = False) -> None:
        """One series; None is left out: not measured is no 0. `total`: a counter."""
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            make = CounterMetricFamily if total else GaugeMetricFamily
            family = self._families[name] = make(f"concview_{name}", text, labels=list(labels))
        family.add_metric([_cut(v) for v in labels.values()], value)  # type: ignore[attr-defined]

    def many(
        self,
        name: str,
        text: str,
        common: Mapping[str, str],
        rows: Iterable[tuple[Mapping[str, str], float | None]],
        add_up: bool = False,
    ) -> None:
        """Series with labels of the target's own words, greatest first, at most `MOST`."""
        summed: dict[tuple[tuple[str, str], ...], float] = {}
        for labels, value in rows:
            if value is None:
                continue
            key = tuple((k, _cut(v)) for k, v in labels.items())
            # Two things of one name: a sum where that means something, else the greater one.
            known = summed.get(key)
            summed[key] = value if known is None else known + value if add_up else max(known, value)
        ordered = sorted(summed.items(), key=lambda item: -item[1])
        for key, value in ordered[:MOST]:
            self.gauge(name, text, {**common, **dict(key)}, value)
        if rest := ordered[MOST:]:
            self.left_out[common["pid"], common["process"]] += len(rest)
            if add_up:
                names = [k for k, _ in rest[0][0]]
                self.gauge(name, text, {**common, **dict.fromkeys(names, OTHER)}, sum(v for _, v in rest))

    def families(self) -> Iterator[Metric]:
        for (pid, process), number in self.left_out.items():
            self.gauge("series_left_out", "Series beyond the bound, not shown or added up under 'other'",
                       {"pid": pid, "process": process}, number)  # fmt: skip
        yield from self._families.values()


def fill(page: _Page, watched: Watched) -> None:
    """The metrics of one process."""
    snapshot = watched.session.snapshot() if watched.session is not None else None
    common = dict(zip(_LABELS, (str(watched.pid), _cut(watched.name)), strict=True))
    live = snapshot is not None and snapshot.status in (Status.LIVE, Status.STOPPED) and snapshot.samples > 0
    page.gauge("up", "1 while the process is watched, 0 when it cannot be or has ended", common, float(live))
    if snapshot is None or not live:
        return
    target = snapshot.target
    if target is not None:
        info = {**common, "python": target.python, "engine": snapshot.engine, "command": " ".join(target.command)}
        page.gauge("target_info", "What is watched; always 1", info, 1.0)
    for part in (_process, _threads, _locks, _queues, _findings, _blame, _work, _own):
        part(page, common, snapshot)


def _process(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    page.gauge("process_stopped", "1 while the process is stopped by a signal or a debugger", common,
               float(s.status is Status.STOPPED))  # fmt: skip
    page.gauge("cpu_cores", "CPU cores in use", common, None if s.cpu_percent is None else s.cpu_percent / 100)
    page.gauge("context_switches_per_second", "Context switches of all threads", common, s.switches_per_s)
    page.gauge("resident_memory_bytes", "Resident memory", common, float(s.rss) if s.rss else None)
    page.gauge("open_fds", "Open file descriptors", common, float(s.fds) if s.fds else None)
    point = s.series[-1] if s.series else None
    if point is not None:
        page.gauge("run_queue_delay_ratio", "Seconds that threads waited for a CPU, per second, all together", common,
                   point.run_delay)  # fmt: skip
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
        (({"group": name, "state": state}, sums[i]) for name, sums in groups.items() for i, state in enumerate(STATES)
         if sums[i] > 0),
        add_up=True,
    )  # fmt: skip


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
    page.many("lock_held_ratio", "Share of the time in which a lock was held", common,
              rows(lambda i: s.locks[i].held_share))  # fmt: skip


def _queues(page: _Page, common: Mapping[str, str], s: Snapshot) -> None:
    named = [({"queue": q.name or q.kind, "kind": q.kind}, q) for q in s.depths]
    page.many("queue_items", "Items in a queue, now", common, ((n, float(q.size)) for n, q in named))
    page.many("queue_capacity", "Items that a queue may hold; without a bound it has no series", common,
              ((n, float(q.most)) for n, q in named if q.most))  # fmt: skip
    page.many("queue_puts_per_second", "Items put", common, ((n, q.put_rate) for n, q in named))
    page.many("queue_gets_per_second", "Items taken", common, ((n, q.get_rate) for n, q in named))


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
        page.gauge("thread_time_ratio", "Where all thread time went, each wait followed to its end; the parts sum to 1",
                   {**common, "part": part}, getattr(blame, part))  # fmt: skip
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
    routes = [({"kind": r.kind.value, "work": title(r)}, r) for r in work.routes]
    page.many("work_in_flight", "Requests, jobs, queries and calls in flight, on average, by name", common,
              ((n, r.in_flight) for n, r in routes), add_up=True)  # fmt: skip
    oldest: dict[tuple[str, str], float] = {}
    for w in work.now:
        key = (w.kind.value, title(w))
        oldest[key] = max(oldest.get(key, 0.0), w.age_s)
    page.many("work_oldest_seconds", "Age of the oldest one in flight, at least, by name", common,
              (({"kind": kind, "work": name}, age) for (kind, name), age in oldest.items()))  # fmt: skip


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

    def collect(self) -> Iterator[Metric]:
        page = _Page()
        for each in self._watched():
            fill(page, each)
        yield from page.families()

    def describe(self) -> list[Metric]:
        return []  # without it the registry would scrape once to learn the names
