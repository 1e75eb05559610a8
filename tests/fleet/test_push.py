"""Metrics by OTLP: what a receiver on the loopback address reads, and what is said when it does not take them."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
    ExportProfilesServiceRequest,
    ExportProfilesServiceResponse,
)
from opentelemetry.proto.profiles.v1development.profiles_pb2 import Profile, ProfilesData
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

sys.path.insert(0, str(Path(__file__).parents[1] / "exporters"))

import made

from concview import codec
from concview.analysis.samples import Selection
from concview.exporters import otlp
from concview.exporters.base import Request
from concview.fleet import profiles
from concview.fleet.profiles import ProfilePush, rolling
from concview.fleet.push import BadEndpoint, Push, endpoint, headers
from concview.fleet.watch import Watched
from concview.session import LiveSource
from concview.session.recording import Recording
from concview.snapshot import Snapshot, Status
from workers import master


class Receiver:
    """What came, and what is answered."""

    def __init__(self) -> None:
        self.came: list[ExportMetricsServiceRequest] = []
        self.profiles: list[ExportProfilesServiceRequest] = []
        self.heads: list[dict[str, str]] = []
        self.status, self.body = 200, ExportMetricsServiceResponse().SerializeToString()
        self.more: dict[str, str] = {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heads.append({**{k.lower(): v for k, v in self.headers.items()}, "path": self.path})
                if self.path == "/v1development/profiles":
                    receiver.profiles.append(ExportProfilesServiceRequest.FromString(data))
                else:
                    receiver.came.append(ExportMetricsServiceRequest.FromString(data))
                self.send_response(receiver.status)
                for name, value in receiver.more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def families() -> list[Metric]:
    cpu = GaugeMetricFamily("concview_cpu_cores", "CPU", labels=["pid", "process"])
    samples = CounterMetricFamily("concview_samples", "Samples", labels=["pid", "process"])
    states = GaugeMetricFamily("concview_threads_in_state", "States", labels=["pid", "process", "group", "state"])
    for pid, value in (("7", 0.5), ("8", 0.25)):
        cpu.add_metric([pid, f"worker {pid}"], value)
        samples.add_metric([pid, f"worker {pid}"], 100 * value)
        states.add_metric([pid, f"worker {pid}", 'we"b\n', "lock"], 3)
    return [cpu, samples, states]


def push_to(url: str, said: list[str], environment: dict[str, str] | None = None) -> Push:
    return Push(url, 10.0, families, said.append, environment or {})


def test_what_is_sent(receiver: Receiver) -> None:
    said: list[str] = []
    push = push_to(receiver.url, said, {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b,other=1"})
    assert push.push() == 0 and not said and (push.sent, push.failed) == (1, 0)
    (head,), (message,) = receiver.heads, receiver.came
    assert head["path"] == "/v1/metrics" and head["content-type"] == "application/x-protobuf"
    assert head["x-key"] == "a b" and head["other"] == "1"
    resources = {
        next(a.value.int_value for a in r.resource.attributes if a.key == "process.pid"): r
        for r in message.resource_metrics
    }
    assert set(resources) == {7, 8}
    names = {a.key: a.value.string_value for a in resources[7].resource.attributes}
    assert names["service.name"] == "worker 7" and names["host.name"]
    (scope,) = resources[7].scope_metrics
    metrics = {m.name: m for m in scope.metrics}
    assert metrics["concview_cpu_cores"].gauge.data_points[0].as_double == 0.5
    counted = metrics["concview_samples"].sum
    assert counted.is_monotonic and counted.aggregation_temporality == 2
    (point,) = counted.data_points
    assert point.as_double == 50 and 0 < point.start_time_unix_nano <= point.time_unix_nano
    (state,) = metrics["concview_threads_in_state"].gauge.data_points
    assert {a.key: a.value.string_value for a in state.attributes} == {"group": 'we"b\n', "state": "lock"}


def test_what_is_said_when_it_is_not_taken(receiver: Receiver) -> None:
    said: list[str] = []
    push = push_to(receiver.url, said)
    receiver.status, receiver.more = 503, {"Retry-After": "30"}
    assert push.push() == 30 and push.push() == 30
    assert len(said) == 1 and "503" in said[0], "once, not at every push"
    receiver.status, receiver.more = 200, {}
    refused = ExportMetricsServiceResponse()
    refused.partial_success.rejected_data_points = 3
    refused.partial_success.error_message = "too old"
    receiver.body = refused.SerializeToString()
    push.push()
    assert "3 values were refused: too old" in said[-1]
    receiver.body = b""
    push.push()
    assert said[-1].endswith("takes metrics again") and push.failed == 3
    # What is seen in a process goes nowhere else, whatever the receiver says.
    elsewhere = Receiver()
    receiver.status, receiver.more = 307, {"Location": elsewhere.url}
    push.push()
    assert "307" in said[-1] and not elsewhere.came
    elsewhere.server.shutdown()
    elsewhere.server.server_close()


def test_nobody_is_there() -> None:
    said: list[str] = []
    push = push_to("http://127.0.0.1:1", said)
    push.push()
    push.push()
    assert len(said) == 1 and "efused" in said[0]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/metrics"),
        ("https://otel.example/", "https://otel.example/v1/metrics"),
        ("http://h:1/custom/v1/metrics?a=1", "http://h:1/custom/v1/metrics?a=1"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert endpoint(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost:4318", "file:///etc/passwd", "http://", "http://h:99999999", "grpc://h:1"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(BadEndpoint):
        endpoint(text)


def test_headers() -> None:
    assert headers("a=1, b=x%3Dy,,novalue") == {"a": "1", "b": "x=y"}


def told(message: ExportProfilesServiceRequest) -> tuple[int, Profile, list[dict[str, str]]]:
    """(pid, the profile, attributes of its samples), by the tables that the message has."""
    (resource,) = message.resource_profiles
    (profile,) = resource.scope_profiles[0].profiles
    pid = next(a.value.int_value for a in resource.resource.attributes if a.key == "process.pid")
    tables = message.dictionary
    assert tables.string_table[0] == "" and not tables.attribute_table[0].key_strindex
    samples = []
    for sample in profile.samples:
        rows = [tables.attribute_table[i] for i in sample.attribute_indices]
        samples.append({tables.string_table[r.key_strindex]: r.value.string_value for r in rows})
        assert sample.stack_index < len(tables.stack_table)
    return pid, profile, samples


class Kept:
    """A session as far as profiles go: what it keeps of a stream."""

    def __init__(self, path: Path) -> None:
        single = made.write(path)
        with single.open("rb") as file:
            events = [event for block in codec.read_blocks(file) for event in block]
        self.payloads = [codec.encode_events(events[i : i + 8]) for i in range(0, len(events), 8)]
        self.source = LiveSource(4242)
        self.source.rolling = self.rolling = rolling(10.0)

    def snapshot(self) -> Snapshot:
        return Snapshot(Status.LIVE)

    def goes_on(self, number: int) -> None:
        for payload in self.payloads[:number]:
            self.rolling.add(payload, codec.decode_events(payload))
        del self.payloads[:number]


def of(recording: Recording, from_s: float) -> ProfilesData:
    return otlp.profiles(recording, Request(Selection(from_s=from_s)))[0]


def test_profiles(receiver: Receiver, tmp_path: Path) -> None:
    """Each message has what the one before it had not: together they are the whole."""
    kept = Kept(tmp_path / "made.concview")
    whole = of(Recording(tmp_path / "made.concview"), 0.0).resource_profiles[0].scope_profiles[0].profiles[0]
    said: list[str] = []
    watched = [Watched(4242, "app.py", kept), Watched(5, "cannot be read")]  # type: ignore[arg-type]
    push = ProfilePush(receiver.url, 10.0, lambda: watched, of, said.append, {})
    push.push()
    assert not receiver.profiles, "nothing was seen yet"
    half = 3 * len(kept.payloads) // 4  # definitions come first
    for number in (half, 0, len(kept.payloads) - half):
        kept.goes_on(number)
        push.push()
    assert not said and len(receiver.profiles) == push.sent == 2
    first, second = (told(m) for m in receiver.profiles)
    assert first[0] == second[0] == 4242
    assert first[1].time_unix_nano + first[1].duration_nano == pytest.approx(second[1].time_unix_nano, abs=2000)
    assert first[1].duration_nano + second[1].duration_nano == pytest.approx(whole.duration_nano, abs=2000)
    ns = [sum(v for s in p.samples for v in s.values) for p in (first[1], second[1], whole)]
    assert ns[0] and ns[1] and ns[0] + ns[1] == pytest.approx(ns[2], rel=0.01)
    assert {"concview.state", "thread.name"} <= set(first[2][0])


def test_what_is_said_of_profiles_that_are_not_taken(receiver: Receiver, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "made.concview")
    kept.goes_on(len(kept.payloads))
    said: list[str] = []
    watched = [Watched(4242, "app.py", kept)]  # type: ignore[arg-type]
    refused = ExportProfilesServiceResponse()
    refused.partial_success.rejected_profiles, refused.partial_success.error_message = 1, "too new"
    receiver.body = refused.SerializeToString()
    ProfilePush(receiver.url, 10.0, lambda: watched, of, said.append, {}).push()
    receiver.body = b"\xff\xff"
    ProfilePush(receiver.url, 10.0, lambda: watched, of, said.append, {}).push()
    receiver.status = 404  # a Collector that has no pipeline for them
    ProfilePush(receiver.url, 10.0, lambda: watched, of, said.append, {}).push()
    assert "1 profiles were refused: too new" in said[0] and "none of OTLP" in said[1] and "404" in said[2]


def test_where_profiles_go() -> None:
    assert profiles.endpoint("http://h:4318") == "http://h:4318/v1development/profiles"
    assert profiles.endpoint("http://h/base/v1/metrics") == "http://h/base/v1development/profiles"
    with pytest.raises(BadEndpoint):
        profiles.endpoint("http://h/push")


def test_a_master_and_its_workers(receiver: Receiver) -> None:
    """For real: `serve --tree PID --otlp URL` pushes, and listens on nothing."""
    with master(2) as (process, workers):
        pids = {process.pid, *workers}
        serving = subprocess.Popen(
            [sys.executable, "-m", "concview", "serve", "--tree", str(process.pid), "--otlp", receiver.url, "--every",
             "1", "--profiles", "1"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert serving.stderr is not None
            first = serving.stderr.readline()
            assert f"metrics go to {receiver.url}/v1/metrics" in first
            deadline = time.monotonic() + 60
            up: set[int] = set()
            while up != pids and time.monotonic() < deadline:
                time.sleep(0.1)
                up = {
                    next(a.value.int_value for a in r.resource.attributes if a.key == "process.pid")
                    for message in receiver.came[-1:]
                    for r in message.resource_metrics
                    for m in r.scope_metrics[0].metrics
                    if m.name == "concview_samples" and m.sum.data_points[0].as_double > 0
                }
            assert up == pids
            while {pid for pid, *_ in map(told, receiver.profiles)} != pids and time.monotonic() < deadline:
                time.sleep(0.1)
            for pid, _, samples in map(told, receiver.profiles):
                assert pid in pids and all(s["concview.state"] for s in samples)
            assert not [c for c in psutil.Process(serving.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        finally:
            serving.send_signal(signal.SIGINT)
            serving.wait(20)
