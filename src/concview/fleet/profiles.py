"""Profiles pushed by OTLP, OpenTelemetry's development signal (v1development): its shape may still change, and so will
this. Every so many seconds, of each process, what its threads did since the last time: stacks with states, locks, peers
and holders as attributes. A message for each process, made of what its session keeps of the stream.
"""

from __future__ import annotations

import os
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
    ExportProfilesServiceRequest,
    ExportProfilesServiceResponse,
)
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from concview import codec
from concview.fleet.push import PATH as METRICS_PATH
from concview.fleet.push import BadEndpoint, Pushing
from concview.fleet.push import endpoint as metrics_endpoint
from concview.fleet.watch import Watched
from concview.model import Tick
from concview.session import LiveSource
from concview.session.recording import Recording
from concview.session.rolling_recording import RollingRecording

PATH = "/v1development/profiles"
#: Of each process so much of its stream is kept, and for so much longer than from one push to the next, seconds.
ROLLING_BYTES, SLACK_S = 4 << 20, 10.0
#: From the recording, what was seen after so many seconds of it.
Make = Callable[[Recording, float], ProfilesData]


def endpoint(url: str) -> str:
    """Where profiles go, beside metrics. BadEndpoint for what is no address, or leads to metrics by its own path."""
    parts = urllib.parse.urlsplit(metrics_endpoint(url))
    if not parts.path.endswith(METRICS_PATH):
        raise BadEndpoint(f"with profiles, an address without a path of its own, not '{url}'")
    return urllib.parse.urlunsplit(parts._replace(path=parts.path.removesuffix(METRICS_PATH) + PATH))


def rolling(every_s: float) -> RollingRecording:
    """What a session must keep for it."""
    return RollingRecording(int((every_s + SLACK_S) * 1e9), ROLLING_BYTES)


class ProfilePush(Pushing):
    what = "profiles"

    def __init__(
        self,
        url: str,
        every_s: float,
        watched: Callable[[], Iterable[Watched]],
        make: Make,
        tell: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """BadEndpoint for what is no address."""
        super().__init__(endpoint(url), every_s, tell, environment)
        self._watched, self._make = watched, make
        self._done_ns: dict[tuple[int, float], int] = {}  #: by process: up to when it has been told

    def _bodies(self) -> Iterable[bytes]:
        done: dict[tuple[int, float], int] = {}
        try:
            for each in self._watched():
                session = each.session
                if session is None or not isinstance(session.source, LiveSource) or session.source.rolling is None:
                    continue
                target = session.snapshot().target
                key = (each.pid, target.started if target is not None else 0.0)
                done[key] = since = self._done_ns.get(key, 0)
                body, done[key] = self._of(session.source.rolling, since)
                if body:
                    yield body
        finally:
            # Of those that were not come to, what they did is told next time; of those that have gone, nothing is kept.
            here = {each.pid for each in self._watched()}
            self._done_ns = {k: at for k, at in {**self._done_ns, **done}.items() if k[0] in here}

    def _of(self, kept: RollingRecording, since_ns: int) -> tuple[bytes, int]:
        """(the message, up to when); no message where nothing was seen."""
        with tempfile.TemporaryDirectory(prefix="concview-profiles-") as folder:
            path = Path(folder) / "stream"
            try:
                with path.open("wb") as out:
                    kept.save(out)
            except LookupError:
                return b"", since_ns
            recording = Recording(path)
            first, last = _span(path)
            if last <= max(first, since_ns):
                return b"", since_ns
            data = self._make(recording, max(0.0, (since_ns - first) / 1e9))
        if not any(p.samples for r in data.resource_profiles for s in r.scope_profiles for p in s.profiles):
            return b"", last
        message = ExportProfilesServiceRequest(dictionary=data.dictionary)
        message.resource_profiles.extend(data.resource_profiles)
        return message.SerializeToString(), last

    def _refused(self, answer: bytes) -> str:
        message = ExportProfilesServiceResponse()
        message.ParseFromString(answer)
        number = message.partial_success.rejected_profiles
        return f"{number} profiles were refused: {message.partial_success.error_message}" if number else ""


def _span(path: Path) -> tuple[int, int]:
    """Moments of the first and the last sample."""
    first = last = 0
    with path.open("rb") as file:
        for events in codec.read_blocks(file, codec.lean_decoder((Tick,))):
            for event in events:
                if isinstance(event, Tick):
                    first, last = first or event.at_ns - event.dt_ns, event.at_ns
    return first, last
