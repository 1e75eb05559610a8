"""OpenTelemetry profiles, the development signal (v1development): its shape may still change, and so will this.

One profile of elapsed time with states, locks and holders as attributes of samples. The library checks nothing of what
it writes, so the tables are made here as the specification wants them: their first entries are the zero values, no
entry stands twice, stacks are lists of locations with the leaf first. Needs opentelemetry-proto (`concview[otlp]`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from concview import __version__
from concview.analysis.samples import Samples
from concview.exporters import _names
from concview.exporters._totals import Total, totals
from concview.exporters.base import Exporter, Request, remarks
from concview.model import Frame, Stack, State
from concview.session.account import service_name
from concview.session.recording import Recording

if TYPE_CHECKING:
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData, ProfilesDictionary


class _Tables:
    """The dictionary that all profiles of a message share."""

    def __init__(self, dictionary: ProfilesDictionary) -> None:
        self._out = dictionary
        self._known: dict[tuple[object, ...], int] = {}
        self._strings: dict[str, int] = {}
        self.string("")
        for table in ("mapping", "location", "function", "link", "attribute", "stack"):
            getattr(dictionary, f"{table}_table").add()

    def string(self, value: str) -> int:
        number = self._strings.get(value)
        if number is None:
            number = self._strings[value] = len(self._strings)
            self._out.string_table.append(value)
        return number

    def attribute(self, key: str, value: str | int) -> int:
        known = self._known.get((key, value))
        if known is None:
            entry = self._out.attribute_table.add()
            entry.key_strindex = self.string(key)
            if isinstance(value, int):
                entry.value.int_value = value
            else:
                entry.value.string_value = value
            known = self._known[key, value] = len(self._out.attribute_table) - 1
        return known

    def _location(self, frame: Frame) -> int:
        name, file = _names.function(frame), frame.file
        known = self._known.get(("location", name, file, frame.line))
        if known is None:
            function = self._known.get(("function", name, file))
            if function is None:
                entry = self._out.function_table.add()
                entry.name_strindex, entry.filename_strindex = self.string(name), self.string(file)
                function = self._known["function", name, file] = len(self._out.function_table) - 1
            location = self._out.location_table.add()
            line = location.lines.add()
            line.function_index, line.line = function, frame.line
            kind = "native" if frame.origin == "native" else "cpython"
            location.attribute_indices.append(self.attribute("profile.frame.type", kind))
            known = self._known["location", name, file, frame.line] = len(self._out.location_table) - 1
        return known

    def stack(self, stack: Stack) -> int:
        locations = tuple(self._location(f) for f in stack.frames)
        if not locations:
            return 0
        known = self._known.get(("stack", locations))
        if known is None:
            self._out.stack_table.add().location_indices.extend(locations)
            known = self._known["stack", locations] = len(self._out.stack_table) - 1
        return known


def _attributes(total: Total, side: str, tasks: bool) -> dict[str, str | int]:
    """In OpenTelemetry's own names where it has some: it has none for tasks."""
    activity = total.activity
    whose = "concview.task" if tasks else "thread"
    found: dict[str, str | int] = {
        f"{whose}.name": _names.thread(total.thread),
        f"{whose}.id": total.thread.tid,
        "concview.state": _names.state(activity),
    }
    if activity.lock is not None:
        found["concview.lock.name"] = activity.lock.name
    if activity.state is State.IO:
        found["concview.peer"] = activity.detail
    found |= {"concview.work": activity.doing.work, "concview.query": activity.doing.inner}
    if total.blocker is not None:
        found["concview.waiter" if side == "holder" else "concview.holder"] = _names.thread(total.blocker.thread)
    return {key: value for key, value in found.items() if value != ""}


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    data, samples = profiles(recording, request)
    out.write(data.SerializeToString())
    return [
        "profiles are a development signal of OpenTelemetry: readers must be of the same version",
        *remarks(samples),
    ]


def profiles(recording: Recording, request: Request) -> tuple[ProfilesData, Samples]:
    """One profile, of what was asked for; the samples, read to their end."""
    from opentelemetry.proto.profiles.v1development import profiles_pb2

    samples = recording.samples(request.selection, request.side, gil_blockers=True, tasks=request.tasks)
    found = totals(samples)
    data = profiles_pb2.ProfilesData()
    tables = _Tables(data.dictionary)
    resource = data.resource_profiles.add()
    _describe(resource.resource.attributes, samples)
    scope = resource.scope_profiles.add()
    scope.scope.name, scope.scope.version = "concview", __version__
    profile = scope.profiles.add()
    profile.sample_type.type_strindex = tables.string("time")
    profile.sample_type.unit_strindex = tables.string("nanoseconds")
    profile.period_type.type_strindex = tables.string("wall")
    profile.period_type.unit_strindex = tables.string("nanoseconds")
    hello = samples.hello
    assert hello is not None
    profile.period = int(1e9 / (hello.rate_hz or 1))
    chosen = request.selection
    begin = samples.first_ns + int(chosen.from_s * 1e9)
    end = samples.last_ns if chosen.to_s is None else min(samples.last_ns, samples.first_ns + int(chosen.to_s * 1e9))
    profile.time_unix_nano = int(hello.epoch * 1e9) + begin - hello.at_ns
    profile.duration_nano = max(0, end - begin)
    for total in found:
        sample = profile.samples.add()
        sample.stack_index = tables.stack(total.activity.stack)
        sample.values.append(total.ns)
        attributes = _attributes(total, request.side, request.tasks)
        sample.attribute_indices.extend(tables.attribute(k, v) for k, v in attributes.items())
    # The same recording has the same id, whenever it is exported.
    said = f"{hello.target.pid} {hello.epoch} {request}"
    profile.profile_id = hashlib.sha256(said.encode()).digest()[:16]
    return data, samples


def _describe(attributes: object, samples: Samples) -> None:
    hello = samples.hello
    assert hello is not None
    command = hello.target.command
    said: dict[str, str | int] = {
        "service.name": service_name(command), "process.pid": hello.target.pid,
        "process.command_line": " ".join(command), "process.runtime.name": "cpython",
        "process.runtime.version": hello.target.python,
    }  # fmt: skip
    for key, value in said.items():
        entry = attributes.add()  # type: ignore[attr-defined]
        entry.key = key
        if isinstance(value, int):
            entry.value.int_value = value
        else:
            entry.value.string_value = value


EXPORTER = Exporter(
    "OpenTelemetry profiles (a development signal), states and locks as attributes",
    write,
    sides=True,
    suffix=".otlp",
    needs="opentelemetry.proto",
    extra="otlp",
    together=True,
    tasks=True,
)
