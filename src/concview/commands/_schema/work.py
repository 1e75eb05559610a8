"""In whose name threads and tasks worked."""

from __future__ import annotations

import msgspec


class WorkOut(msgspec.Struct):
    """One request, job, query or call in progress. `age_s` is since a beginning that was read where `age_exact`, else
    since it was first seen; `age_at_least`: it was there before anybody looked. `age_least_s`, of a query or call: who
    works on it has run meanwhile, and another one like it would look the same: it is between that and `age_s` old."""

    id: int
    kind: str
    system: str
    name: str
    missing: str
    trace: str
    age_s: float
    age_exact: bool
    age_at_least: bool
    threads: list[int]
    tasks: list[int]
    state: str
    doing: str
    inside: int | None = None  #: id of the work that it is a part of
    after_response: bool = False
    detail: str | None = None  #: with labels = "full" only
    because: str | None = None  #: who and what is in its way, in the words of work; null: nobody
    behind: list[int] = []  #: ids of the work in its way, the nearest first
    trace_id: str | None = None  #: of OpenTelemetry, as the W3C writes it
    span_id: str | None = None
    age_least_s: float | None = None


class RouteOut(msgspec.Struct):
    """Work of one name over the window. `seen`: different ones, as far as looks saw them. Ages of those that ended."""

    kind: str
    system: str
    name: str
    missing: str
    seen: int
    in_flight: float
    p50_s: float | None
    p95_s: float | None
    age_exact: bool
    shares: dict[str, float]  #: of the time of its threads
    tasks_share: float


class WorkSummaryOut(msgspec.Struct):
    """`labels`: 'safe' or 'full'. `unknown`: threads and tasks of which nothing is known, for they moved."""

    labels: str
    now: list[WorkOut]
    routes: list[RouteOut]
    window_s: float
    looked: int
    unknown: int
    torn: int
    more: int
    libraries: list[str] = []  #: those that it knows and has seen in a stack
