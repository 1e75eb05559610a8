"""Metrics pushed to an OpenTelemetry Collector, or to whatever else takes OTLP over HTTP.

The same families as on the page for Prometheus, with the same names: gauges, and cumulative sums for counters. Each
process is a resource of its own. Nothing is kept for later: what could not be delivered is as old as the next values
are new, and sums go on. `OTEL_EXPORTER_OTLP_HEADERS` ('key=value,key=value') is sent along, as everywhere.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client.core import Metric

from concview import __version__

#: Of an endpoint without a path, as the specification has it.
PATH = "/v1/metrics"
#: An answer is waited for so long, and read so far.
TIMEOUT_S, MOST_ANSWER = 10.0, 64 << 10
#: Another try is put off no longer than this, whatever the receiver asks for.
LONGEST_S = 300.0
_RESOURCE = ("pid", "process")  #: labels that become attributes of the resource
_CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE


class BadEndpoint(ValueError):
    """Not an address to push to. The message says why."""


def endpoint(url: str) -> str:
    """The address that is posted to. BadEndpoint for what is none."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadEndpoint(f"an http or https address, not '{url}'")
    try:
        _ = parts.port
    except ValueError:
        raise BadEndpoint(f"no port: '{url}'") from None
    path = parts.path if parts.path.strip("/") else PATH
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def headers(text: str) -> dict[str, str]:
    """Of OTEL_EXPORTER_OTLP_HEADERS: W3C baggage, values percent-encoded."""
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if equals and key.strip():
            found[key.strip()] = urllib.parse.unquote(value.strip())
    return found


def request(families: Iterable[Metric], now_ns: int, started_ns: int) -> ExportMetricsServiceRequest:
    """All of them, a resource for each process. `started_ns`: since when sums count; both as time.time() counts."""
    message = ExportMetricsServiceRequest()
    scopes: dict[tuple[str, str], metrics_pb2.ScopeMetrics] = {}
    metrics: dict[tuple[tuple[str, str], str], metrics_pb2.Metric] = {}
    for family in families:
        counts = family.type == "counter"
        for sample in family.samples:
            process = (sample.labels.get("pid", ""), sample.labels.get("process", ""))
            scope = scopes.get(process)
            if scope is None:
                scope = scopes[process] = _resource(message, *process)
            metric = metrics.get((process, family.name))
            if metric is None:
                metric = metrics[process, family.name] = scope.metrics.add()
                metric.name, metric.description = family.name, family.documentation
                if counts:
                    metric.sum.aggregation_temporality, metric.sum.is_monotonic = _CUMULATIVE, True
            point = (metric.sum if counts else metric.gauge).data_points.add()
            point.time_unix_nano, point.as_double = now_ns, float(sample.value)
            if counts:
                point.start_time_unix_nano = started_ns
            for key, value in sample.labels.items():
                if key not in _RESOURCE:
                    _attribute(point.attributes, key, value)
    return message


def _resource(message: ExportMetricsServiceRequest, pid: str, process: str) -> metrics_pb2.ScopeMetrics:
    added = message.resource_metrics.add()
    _attribute(added.resource.attributes, "service.name", process or "python")
    _attribute(added.resource.attributes, "host.name", socket.gethostname())
    if pid.isdecimal():
        entry = added.resource.attributes.add()
        entry.key, entry.value.int_value = "process.pid", int(pid)
    scope: metrics_pb2.ScopeMetrics = added.scope_metrics.add()
    scope.scope.name, scope.scope.version = "concview", __version__
    return scope


def _attribute(attributes: object, key: str, value: str) -> None:
    entry = attributes.add()  # type: ignore[attr-defined]
    entry.key, entry.value.string_value = key, value


class Pushing:
    """`start`, then `close`: in a thread of its own. `tell` is given a line when it stops working, and when it works
    again."""

    what: ClassVar[str]  #: that is pushed, in words

    def __init__(
        self, url: str, every_s: float, tell: Callable[[str], None], environment: Mapping[str, str] = os.environ
    ) -> None:
        self.url = url
        self._every_s, self._tell = every_s, tell
        self._headers = {
            **headers(environment.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
            "Content-Type": "application/x-protobuf",
            "User-Agent": f"concview/{__version__}",
        }
        self._failing = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"concview-push-{self.what}", daemon=True)
        self.sent = self.failed = 0

    def _bodies(self) -> Iterable[bytes]:
        """The messages that are due, each posted before the next is made."""
        raise NotImplementedError

    def _refused(self, answer: bytes) -> str:
        """What was not taken of it; '' when all was. What it raises: the answer is none of OTLP's."""
        raise NotImplementedError

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        wait = self._every_s
        while not self._over.wait(wait):
            wait = max(self._every_s, self.push())

    def push(self) -> float:
        """Once. Seconds after which the receiver wants to be asked again; 0: it said nothing of that."""
        put_off, told = 0.0, False
        for body in self._bodies():
            wanted, failing = self._post(body)
            put_off = max(put_off, wanted)
            if failing or not told:
                self._say(failing)
            told = told or bool(failing)
            if wanted or self._over.is_set():
                break
        return put_off

    def _say(self, failing: str) -> None:
        if failing != self._failing:
            self._tell(f"{self.url}: {failing}" if failing else f"{self.url}: takes {self.what} again")
            self._failing = failing

    def _post(self, body: bytes) -> tuple[float, str]:
        """(seconds to wait, what went wrong)"""
        post = urllib.request.Request(self.url, body, self._headers, method="POST")
        put_off = 0.0
        try:
            # No proxy and no redirect: what is seen in a process goes where it was told to, and nowhere else.
            with _OPENER.open(post, timeout=TIMEOUT_S) as answer:
                said = self._rejected(answer.read(MOST_ANSWER))
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.reason}"
            put_off = _seconds(error.headers.get("Retry-After", "")) if error.code in (429, 502, 503, 504) else 0.0
            error.close()
        except (OSError, http.client.HTTPException) as error:
            said = str(getattr(error, "reason", "") or error) or type(error).__name__
        if said:
            self.failed += 1
        else:
            self.sent += 1
        return put_off, said

    def _rejected(self, data: bytes) -> str:
        try:
            return self._refused(data)
        except Exception:  # its own DecodeError has moved between versions
            return "the answer is none of OTLP's"


class Push(Pushing):
    """Metrics, every time all that `collect` gives."""

    what = "metrics"

    def __init__(
        self,
        url: str,
        every_s: float,
        collect: Callable[[], Iterable[Metric]],
        tell: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """BadEndpoint for what is no address."""
        super().__init__(endpoint(url), every_s, tell, environment)
        self._collect = collect
        self._started_ns = time.time_ns()

    def _bodies(self) -> Iterable[bytes]:
        yield request(self._collect(), time.time_ns(), self._started_ns).SerializeToString()

    def _refused(self, answer: bytes) -> str:
        message = ExportMetricsServiceResponse()
        message.ParseFromString(answer)
        number = message.partial_success.rejected_data_points
        return f"{number} values were refused: {message.partial_success.error_message}" if number else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def _seconds(text: str) -> float:
    """Of Retry-After; a date counts as nothing said."""
    return min(LONGEST_S, float(text)) if text.isascii() and text.isdecimal() else 0.0
