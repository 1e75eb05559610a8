"""One run as numbers over time: what of it can be compared with another run, of this version or the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from concview import api, codec
from concview.analysis import samples
from concview.catalogue.judge import PATIENCE_NS
from concview.config import Config
from concview.model import STATES, VERDICT, Finding, Severity, Target, Tick, WorkKind
from concview.session.blame import unnamed as verdict_of
from concview.session.work import title
from concview.snapshot import LockView, QueueView, RouteView, Snapshot
from concview.text import file_name

#: A run is cut into so many windows at most, of a second at least.
MOST_WINDOWS = 60
LEAST_S = 1.0
#: Names of requests and jobs that are compared.
MOST_ROUTES = 40
#: Which way is better: for work done more, for waiting less, for the rest neither.
LESS, MORE, EITHER = "less", "more", ""
_WAITING = ("runnable", "gil", "lock")


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """`name` is the same in another run: no address, number of a thread or line in it."""

    group: str
    name: str
    unit: str
    better: str = EITHER


@dataclass(slots=True)
class Run:
    """`series`: for each metric a value a window; None: nothing of the kind was seen in it."""

    name: str
    target: Target | None = None
    engine: str = ""
    rate_hz: float = 0.0
    seconds: float = 0.0
    window_s: float = 0.0
    windows: int = 0
    ending: str = ""
    series: dict[Metric, list[float | None]] = field(default_factory=dict)
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)  #: the worst of each
    judged: frozenset[str] = frozenset()  #: rules that had what they need at the end
    routes: set[str] = field(default_factory=set)  #: requests and jobs that are compared
    unnamed: int = 0  #: locks and queues left out: nothing but an address is known of them

    def values(self, metric: Metric) -> list[float]:
        """Those of the windows in which something was seen. What a lock or queue that was not there did is 0, unless
        it is a time."""
        known = self.series.get(metric)
        if known is None:
            return [] if metric.unit == "s" else [0.0] * self.windows
        return [v for v in known if v is not None]


def of_recording(path: Path, config: Config, number: int = 0) -> Run:
    """Raises as `concview.open` does."""
    seconds = _length_s(path, number)
    with api.recorded(path, config, number, patience_s=PATIENCE_NS / 1e9) as observation:
        return of_observation(observation, path.name, seconds)


def of_observation(observation: api.Observation, name: str, seconds: float) -> Run:
    """A process that was watched so long (10 minutes at most are kept), or a recording at its beginning."""
    run = Run(name, window_s=max(LEAST_S, math.ceil(seconds / MOST_WINDOWS)))
    unnamed: set[object] = set()
    for snapshot in observation.windows(run.window_s):
        if snapshot.threads:
            _add(run, snapshot, unnamed)
            run.windows += 1
    last = observation.finish() if not observation.live else observation.snapshot()
    _note(run, last)
    run.target, run.engine, run.rate_hz = last.target, last.engine, last.rate_hz
    run.seconds, run.ending, run.unnamed = last.elapsed_s, last.ending, len(unnamed)
    run.judged = frozenset(last.clear) | {f.id for f in last.findings}
    if last.blame is not None and last.blame.verdict not in ("early", "few samples", "unreadable"):
        run.judged |= {VERDICT}
    return run


def _length_s(path: Path, number: int) -> float:
    first = last = 0
    with path.open("rb") as file:
        try:
            for block in samples.read(file, number):
                for event in block:
                    if isinstance(event, Tick):
                        first, last = first or event.at_ns, event.at_ns
        except codec.Damaged:
            pass  # what came before is compared; the run's `ending` says that it breaks off
    return (last - first) / 1e9


def _add(run: Run, snapshot: Snapshot, unnamed: set[object]) -> None:
    now: dict[Metric, float | None] = {}
    for state, share in zip(STATES, snapshot.states, strict=True):
        better = LESS if state in _WAITING else EITHER
        now[Metric("time", state, "% of thread time", better)] = 100 * share
    blame = snapshot.blame
    if blame is not None and blame.active > 0:
        for name, part in (("held up", blame.held_up), ("waits", blame.waits), ("starved", blame.starved)):
            now[Metric("time", name, "% of active time", LESS)] = 100 * blame.share(part)
    now[Metric("process", "CPU", "% of a core")] = snapshot.cpu_percent
    now[Metric("process", "context switches", "/s")] = snapshot.switches_per_s  # more work has more of them
    now[Metric("process", "threads", "threads")] = float(sum(t.alive and not t.native for t in snapshot.threads))
    if snapshot.gil.available:
        now[Metric("process", "GIL held", "% of the time")] = 100 * snapshot.gil.held_share
        now[Metric("process", "GIL waiters", "threads", LESS)] = snapshot.gil.waiters_mean
    for lock in snapshot.locks:
        if name := _lock_name(lock):
            _lock(now, name, lock)
        else:
            unnamed.add(lock.key)
    for queue in snapshot.depths:
        if name := _queue_name(queue):
            _queue(now, name, queue)
        else:
            unnamed.add(queue.key)
    if snapshot.work is not None:
        for route in snapshot.work.routes:
            _route(run, now, route)
    for metric in {*run.series, *now}:
        known = run.series.get(metric)
        nothing = None if metric.unit == "s" or metric.group in ("time", "process") else 0.0
        if known is None:
            known = run.series[metric] = [nothing] * run.windows
        known.append(now.get(metric, nothing))
    _note(run, snapshot)


def _note(run: Run, snapshot: Snapshot) -> None:
    verdict = verdict_of(snapshot.blame)
    warns = verdict is not None and verdict.severity is Severity.WARN
    for finding in (*snapshot.findings, *((verdict,) if verdict is not None and warns else ())):
        known = run.findings.get(finding.identity)
        if known is None or (known.severity is Severity.INFO and finding.severity is Severity.WARN):
            run.findings[finding.identity] = finding


def _lock_name(lock: LockView) -> str:
    site = lock.site
    if not site.expression:
        return ""
    return f"{site.expression} ({file_name(site.file)}, {site.function})"


def _queue_name(queue: QueueView) -> str:
    return f"{queue.name} ({queue.kind})" if queue.name else ""


def _lock(now: dict[Metric, float | None], name: str, lock: LockView) -> None:
    """Two locks that are called the same are one: a lock for each connection, say."""
    for metric, value in (
        (Metric("locks", f"{name} waiters", "threads", LESS), lock.waiters_mean),
        (Metric("locks", f"{name} held", "% of the time", LESS), 100 * lock.held_share),
    ):
        now[metric] = (now.get(metric) or 0.0) + value
    for metric, time in (
        (Metric("locks", f"{name} a wait", "s", LESS), lock.wait_mean_s if lock.waits else None),
        (Metric("locks", f"{name} a hold, median", "s", LESS), lock.hold_p50_s),
    ):
        known = now.get(metric)
        now[metric] = time if known is None else max(known, time or 0.0)


def _route(run: Run, now: dict[Metric, float | None], route: RouteView) -> None:
    """A request or job by its name; of very many names, those that came first. How long one took, only where its
    beginning was read."""
    if route.kind not in (WorkKind.REQUEST, WorkKind.JOB):
        return
    name = title(route)
    if name not in run.routes and len(run.routes) >= MOST_ROUTES:
        return
    run.routes.add(name)
    metric = Metric("requests", f"{name} in flight", "on average")
    now[metric] = (now.get(metric) or 0.0) + route.in_flight
    for metric, time in (
        (Metric("requests", f"{name} median", "s", LESS), route.p50_s),
        (Metric("requests", f"{name} p95", "s", LESS), route.p95_s),
    ):
        if time is not None and route.exact:
            now[metric] = max(now.get(metric) or 0.0, time)


def _queue(now: dict[Metric, float | None], name: str, queue: QueueView) -> None:
    rates = (("out", queue.get_rate, "items/s", MORE), ("size", float(queue.size), "items", LESS))
    for what, value, unit, better in rates:
        if value is not None:
            metric = Metric("queues", f"{name} {what}", unit, better)
            now[metric] = (now.get(metric) or 0.0) + value
