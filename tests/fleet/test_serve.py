"""Metrics: what a page holds, how it is bounded, who may read it, and a real process behind it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from capacity import WAITS
from concview.fleet.endpoint import CannotServe, Endpoint
from concview.fleet.metrics import MOST, PLACE_S, Places, SnapshotCollector, _Page
from concview.model import STATES, Confidence, Finding, Measured, Served, Severity, State, WorkKind
from concview.snapshot import (
    NO_SHARES,
    QueueView,
    RouteView,
    Snapshot,
    Status,
    WorkSummary,
    WorkTotal,
    WorkView,
)
from interpreters import Interpreter, current, target
from workers import master

HOSTILE = 'a"b\\c\nd{}é' + "x" * 10_000


class _Session:
    ended = False

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def snapshot(self) -> Snapshot:
        return self._snapshot


def _queue(name: str, size: int) -> QueueView:
    return QueueView(name, name, "Queue", size, 0, (), None, None, 0.0, (), (), ())


def _page(snapshot: Snapshot) -> Endpoint:
    from concview.fleet.watch import Watched

    watched = Watched(7, HOSTILE, _Session(snapshot))  # type: ignore[arg-type]
    return Endpoint(SnapshotCollector(lambda: [watched]))


def _read(url: str, accept: str = "text/plain") -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
        return str(answer.read().decode("utf-8"))


def test_names_of_the_target_s_are_cut_and_series_bounded() -> None:
    queues = tuple(_queue(f"{HOSTILE}{i}"[-20:], i) for i in range(10 * MOST))
    snapshot = Snapshot(Status.LIVE, samples=5, depths=queues)
    endpoint = _page(snapshot)
    try:
        families = {f.name: f for f in text_string_to_metric_families(_read(endpoint.url))}
        om = {f.name for f in openmetrics(_read(endpoint.url, "application/openmetrics-text; version=1.0.0"))}  # type: ignore[no-untyped-call]
    finally:
        endpoint.close()
    items = families["concview_queue_items"].samples
    assert len(items) == MOST and max(s.value for s in items) == 10 * MOST - 1  # the fullest are there
    (left,) = families["concview_series_left_out"].samples
    assert left.value >= 9 * MOST
    assert all(len(v) <= 200 for f in families.values() for s in f.samples for v in s.labels.values())
    assert all(re.fullmatch("concview_[a-z_]+", name) for name in families)
    assert {"concview_up", "concview_queue_items"} <= om
    # What was not measured has no series: no 0 that looks like one.
    assert "concview_cpu_cores" not in families and "concview_gil_held_ratio" not in families


def test_what_is_too_many_is_added_up_where_adding_means_something() -> None:
    page = _Page()
    rows = [({"group": f"g{i}", "state": "io"}, 1.0) for i in range(MOST + 9)]
    page.many("threads_in_state", "help", {"pid": "1", "process": "p"}, rows, add_up=True)
    (family, _) = sorted(page.families(), key=lambda f: -len(f.samples))
    assert sum(s.value for s in family.samples) == MOST + 9
    assert [s.value for s in family.samples if s.labels["group"] == "other"] == [9.0]


def test_a_name_keeps_its_place_until_it_is_not_seen_for_long() -> None:
    now = [0.0]
    places = Places(lambda: now[0])

    def shown(*sizes: tuple[str, float]) -> dict[str, float]:
        page = _Page(places)
        page.many("queue_items", "help", {"pid": "1", "process": "p"}, [({"queue": q}, v) for q, v in sizes])
        return {s.labels["queue"]: s.value for f in page.families() for s in f.samples if "queue" in s.labels}

    first = [(f"q{i}", 1.0) for i in range(MOST)]
    assert len(shown(*first)) == MOST
    now[0] += 10
    assert "late" not in shown(*first, ("late", 1e9))  # the greatest of all, and yet no new series
    now[0] += PLACE_S - 5
    assert shown(("late", 2.0)) == {}  # the others were seen less than an hour ago
    now[0] += 10
    assert shown(("late", 3.0), ("q1", 1.0)) == {"late": 3.0, "q1": 1.0}
    places.keep({"2"})
    assert len(shown(*[(f"new{i}", 1.0) for i in range(MOST)])) == MOST


def _total(name: str, system: str, seen: int) -> WorkTotal:
    states = (0.5, *[0.0] * (len(State) - 1))
    return WorkTotal(WorkKind.REQUEST, system, name, "", seen, seen - 1, 2.5, 4.0, states, 1.5)


def test_counters_of_work_and_one_set_of_names_for_all_of_it() -> None:
    routes = tuple(
        RouteView(WorkKind.REQUEST, "flask", f"GET /{n}", "", 3, 1.5, 0.25, 0.5, False, NO_SHARES, 0.0) for n in "abc"
    )
    totals = (_total("GET /a", "flask", 5), _total("other", "", 9))
    measured = Measured("", 1, 1, 1, "")
    finding = Finding("lock-contention", "", Severity.WARN, 50, Confidence.EXACT, "", "", "", "", measured,
                      work=(Served("request", "GET /a", 2, 5.0),))  # fmt: skip
    summary = WorkSummary("safe", (), routes, totals=totals)
    endpoint = _page(Snapshot(Status.LIVE, samples=5, work=summary, findings=(finding,)))
    try:
        families = {f.name: f for f in text_string_to_metric_families(_read(endpoint.url))}
        om = {f.name for f in openmetrics(_read(endpoint.url, "application/openmetrics-text; version=1.0.0"))}  # type: ignore[no-untyped-call]
    finally:
        endpoint.close()
    assert {"concview_work_seen", "concview_work_state_seconds"} <= om

    def values(metric: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(v for k, v in sorted(s.labels.items()) if k not in ("pid", "process", "kind")): s.value
            for s in families[metric].samples
        }

    assert values("concview_work_seen") == {("GET /a",): 5.0, ("other",): 9.0}
    assert values("concview_work_ended") == {("GET /a",): 4.0, ("other",): 8.0}
    assert values("concview_work_state_seconds")[STATES[0], "GET /a"] == 0.5
    assert values("concview_work_state_seconds")["awaits", "GET /a"] == 1.5
    # Gauges have no other names than counters: b and c are 'other'.
    assert values("concview_work_in_flight") == {("GET /a",): 1.5, ("other",): 3.0}
    assert values("concview_work_lasted_seconds") == {("0.5", "GET /a"): 0.25, ("0.95", "GET /a"): 0.5}
    # Prometheus' own checks let nothing else have a quantile.
    assert {n for n, f in families.items() if any("quantile" in s.labels for s in f.samples)} == {
        n for n, f in families.items() if f.type == "summary"
    }
    assert values("concview_finding_work_threads") == {("lock-contention", "GET /a"): 2.0}


def test_work_by_name() -> None:
    request, query = WorkKind.REQUEST, WorkKind.QUERY
    route = RouteView(request, "flask", "GET /orders/<id>", "", 3, 1.5, None, None, False, NO_SHARES, 0.0)
    now = tuple(
        WorkView(n, request, "flask", "GET /orders/<id>", "", "", "", age, True, False, (n,), (), "", State.IO)
        for n, age in ((1, 2.0), (2, 31.0))
    )
    many = [
        RouteView(query, "sqlite3", f"SELECT a FROM t{i}", "", 1, 1.0, None, None, False, NO_SHARES, 0.0)
        for i in range(2 * MOST)
    ]
    endpoint = _page(Snapshot(Status.LIVE, samples=5, work=WorkSummary("safe", now, (route, *many))))
    try:
        families = {f.name: f for f in text_string_to_metric_families(_read(endpoint.url))}
    finally:
        endpoint.close()
    flying = families["concview_work_in_flight"].samples
    assert len(flying) == MOST + 1  # and 'other', which has the rest
    assert sum(s.value for s in flying) == 2 * MOST + 1.5
    assert [s.value for s in flying if s.labels["work"] == "GET /orders/<id>"] == [1.5]
    (oldest,) = families["concview_work_oldest_seconds"].samples
    assert oldest.value == 31.0 and oldest.labels["kind"] == "request"


def test_what_has_ended_is_not_up() -> None:
    endpoint = _page(msgspec.structs.replace(Snapshot(Status.EXITED), samples=5))
    try:
        families = {f.name: f for f in text_string_to_metric_families(_read(endpoint.url))}
    finally:
        endpoint.close()
    assert [s.value for s in families["concview_up"].samples] == [0.0] and set(families) == {"concview_up"}


def test_a_socket_of_this_user_s(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as left:  # one that a killed server left behind
        left.bind(str(path))
    endpoint = Endpoint(SnapshotCollector(list), path=str(path))
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
        with pytest.raises(CannotServe, match="another program listens"):
            Endpoint(SnapshotCollector(list), path=str(path))
    finally:
        endpoint.close()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(CannotServe, match="not a socket"):
        Endpoint(SnapshotCollector(list), path=str(path))
    assert path.read_text() == "precious"


SOURCE = """
import threading, time
lock = threading.Lock()
def hold():
    while True:
        with lock: time.sleep(0.05)
for i in range(3): threading.Thread(target=hold, name=f"worker-{i}", daemon=True).start()
print("ready", flush=True)
time.sleep(100)
"""


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr is not None
    yield from process.stderr


@pytest.mark.few
def test_a_real_process(any_python: Interpreter) -> None:
    with target(any_python, SOURCE) as watched:
        command = [sys.executable, "-m", "concview", "serve", str(watched.pid), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                url = next(m[1] for line in _lines(server) if (m := re.search(r"metrics at (\S+);", line)))
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:
                    page = _read(url)
                    # Who waits is known with the first samples, shares by group only after them.
                    if 'group="worker"' in page and re.search(r'concview_lock_waiters\{.*lock="lock".*\} [12]', page):
                        break
                    time.sleep(0.2)
                assert f'concview_up{{pid="{watched.pid}"' in page and 'group="worker"' in page
                assert re.search(r'concview_lock_waiters\{.*lock="lock".*\} [12]', page), page
                watched.popen.kill()
                assert server.wait(30) == 0  # nothing is left to watch
            finally:
                if server.poll() is None:
                    server.send_signal(signal.SIGINT)


def test_wrong_use_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for code, text, arguments in (
            (2, "what to watch", []),
            (2, "--port", ["1", "--port", "x"]),
            (74, "in use", [str(os.getpid()), "--port", port]),
            (4, "no process", ["4194000", "--port", "0"]),
        ):
            command = [sys.executable, "-m", "concview", "serve", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == code and text in done.stderr.lower(), (arguments, done.stderr)
            assert "Traceback" not in done.stderr


def test_scrapes_while_processes_die() -> None:
    """Every answer is a whole page; who has ended is not up, or not on it; with the last one the server ends."""
    with master(2) as (process, (first, second)):
        command = [sys.executable, "-m", "concview", "serve", "--tree", str(process.pid), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                url = next(m[1] for line in _lines(server) if (m := re.search(r"metrics at (\S+);", line)))

                def up() -> dict[str, float]:
                    found = {f.name: f for f in text_string_to_metric_families(_read(url))}
                    return {s.labels["pid"]: s.value for s in found["concview_up"].samples}

                deadline = time.monotonic() + 60
                everyone = {str(pid): 1.0 for pid in (process.pid, first, second)}
                while up() != everyone and time.monotonic() < deadline:
                    time.sleep(0.1)  # the first samples may yet be on their way
                assert up() == everyone
                os.kill(first, signal.SIGKILL)
                deadline = time.monotonic() + 60
                while str(first) in up() and time.monotonic() < deadline:
                    pass
                assert up() == {str(process.pid): 1.0, str(second): 1.0}
                os.kill(second, signal.SIGKILL)
                process.popen.kill()
                refused = None
                while refused is None and time.monotonic() < deadline:
                    try:
                        up()
                    except OSError as error:
                        refused = error
                assert server.wait(30) == 0
            finally:
                if server.poll() is None:
                    server.send_signal(signal.SIGINT)


#: Whoever took it has died; two wait for it.
ORPHANS = """
import multiprocessing, os, time
def takes(lock):
    lock.acquire()
    os.kill(os.getpid(), 9)
def wants(lock):
    lock.acquire()
if __name__ == "__main__":
    lock = multiprocessing.Lock()
    first = multiprocessing.Process(target=takes, args=(lock,))
    first.start()
    first.join()
    others = [multiprocessing.Process(target=wants, args=(lock,)) for _ in range(2)]
    for other in others:
        other.start()
    print("ready", flush=True)
    print(*[o.pid for o in others], flush=True)
    for other in others:
        other.join()
"""


@pytest.mark.units(WAITS)
def test_the_verdict_of_one_process_says_what_the_others_explain() -> None:
    with target(current(), ORPHANS) as process:
        workers = set(process.line().split())
        command = [sys.executable, "-m", "concview", "serve", "--tree", str(process.pid), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                url = next(m[1] for line in _lines(server) if (m := re.search(r"metrics at (\S+);", line)))
                deadline, stuck = time.monotonic() + 60, set[str]()
                while stuck != workers and time.monotonic() < deadline:
                    time.sleep(0.2)
                    found = {f.name: f for f in text_string_to_metric_families(_read(url))}
                    said = found["concview_verdict"].samples if "concview_verdict" in found else []
                    stuck = {s.labels["pid"] for s in said if s.labels["verdict"] == "stuck"}
                assert stuck == workers
            finally:
                server.kill()
