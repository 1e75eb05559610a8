"""pprof: gzipped protocol buffers, made by hand, for `go tool pprof` and whatever else reads them.

State, thread, lock, holder, peer, request or job (`work`) and query or call (`query`) are labels, so that `-tagfocus`,
`-tagroot` and `-tags` group and filter by them, while one sample type keeps the sum over all states. The shape is the
same in every file: `-base` refuses to compare others. What readers want besides: a mapping that every location names
(one of them fails without), no `system_name` (where it equals the name, go tidies it as if it were C++), and the
default sample type as the first string (one of them takes the string's number for the type's).
"""

from __future__ import annotations

import gzip
from typing import BinaryIO

from concview import __version__
from concview.exporters import _names
from concview.exporters._protobuf import integer, packed, varint
from concview.exporters._protobuf import text as field
from concview.exporters._totals import Total, totals
from concview.exporters.base import Exporter, Request, remarks
from concview.model import Frame, State
from concview.session.recording import Recording


class _Profile:
    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0, "time": 1}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}
        self._stacks: dict[int, bytes] = {}
        self._out = bytearray()

    def string(self, value: str) -> int:
        return self._strings.setdefault(value, len(self._strings))

    def _type(self, what: str, unit: str) -> bytes:
        return integer(1, self.string(what)) + integer(2, self.string(unit))

    def _location(self, frame: Frame) -> int:
        known = self._locations.get(frame)
        if known is None:
            known = self._locations[frame] = len(self._locations) + 1
            key = (_names.function(frame), frame.file)
            function = self._functions.setdefault(key, len(self._functions) + 1)
            line = integer(1, function) + integer(2, frame.line)
            self._out += field(4, integer(1, known) + integer(2, 1) + field(4, line))
        return known

    def sample(self, total: Total, side: str) -> None:
        activity = total.activity
        stack = self._stacks.get(id(activity.stack))
        if stack is None:
            frames = activity.stack.frames or (Frame("<no Python stack>", "", 0),)
            stack = self._stacks[id(activity.stack)] = packed(1, [self._location(f) for f in frames])
        labels = {"thread": _names.thread(total.thread), "state": _names.state(activity)}
        if activity.lock is not None:
            labels["lock"] = activity.lock.name
        if activity.state is State.IO:
            labels["peer"] = activity.detail
        labels |= {"work": activity.doing.work, "query": activity.doing.inner}
        if total.blocker is not None:
            labels["waiter" if side == "holder" else "holder"] = _names.thread(total.blocker.thread)
        body = bytearray(stack + packed(2, [total.samples, total.ns]))
        for key, value in labels.items():
            if value:
                body += field(3, integer(1, self.string(key)) + integer(2, self.string(value)))
        # A unit of its own: without one a number is shown as bytes.
        number = integer(1, self.string("thread_id")) + integer(3, total.thread.tid)
        body += field(3, number + integer(4, self.string("id")))
        self._out += field(2, bytes(body))

    def finish(self, binary: str, at_ns: int, lasted_ns: int, period_ns: int, comments: list[str]) -> bytearray:
        out = self._out
        for what, unit in (("samples", "count"), ("time", "nanoseconds")):
            out += field(1, self._type(what, unit))
        out += field(3, integer(1, 1) + integer(5, self.string(binary)) + b"".join(integer(n, 1) for n in (7, 8, 9)))
        for (name, file), number in self._functions.items():
            out += field(5, integer(1, number) + integer(2, self.string(name)) + integer(4, self.string(file)))
        out += integer(9, at_ns) + integer(10, lasted_ns)
        out += field(11, self._type("wall", "nanoseconds")) + integer(12, period_ns)
        for comment in comments:
            out += varint(13 << 3) + varint(self.string(comment))
        out += integer(14, self.string("time"))
        for value in self._strings:
            encoded = value.encode()
            out += varint(6 << 3 | 2) + varint(len(encoded)) + encoded
        return out


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, gil_blockers=True, tasks=request.tasks)
    profile = _Profile()
    for total in totals(samples):
        profile.sample(total, request.side)
    hello = samples.hello
    assert hello is not None
    said = remarks(samples)
    comments = [
        f"concview {__version__}: weights are elapsed time, and the {samples.whose}s' times add up",
        *(["stacks are those of threads that others waited for"] if request.side == "holder" else []),
        *said,
    ]
    content = profile.finish(
        " ".join(hello.target.command) or "python",
        int((hello.epoch + (samples.first_ns - hello.at_ns) / 1e9) * 1e9),
        samples.last_ns - samples.first_ns,
        int(1e9 / (hello.rate_hz or 1)),
        comments,
    )
    out.write(gzip.compress(content, 6, mtime=0))
    return said


EXPORTER = Exporter(
    "for 'go tool pprof': states, locks and holders as labels",
    write,
    sides=True,
    suffix=".pb.gz",
    together=True,
    tasks=True,
)
