"""py-spy's chrometrace output, read piece by piece into one timeline of stacks per thread.

The format was chosen by experiment and by py-spy's source (0.4.3). `speedscope` has one entry per sample but no times:
a missed sample shortens the profile unseen. `chrometrace` has microseconds: whenever a sample shows another stack than
the one before, the frames that ended and those that began are written, each with function, file and *current* line.
`tid` is the pthread handle (`threading.get_ident()`), not the kernel's thread id; with `--threads` the root of every
stack is a frame 'thread (0x7f..): name', so that even a thread without Python frames is seen. A thread that ended, and
a sample that failed, leave no event. The order within the file is the order of the samples.

Everything here comes from the target and is not trusted: names are cleaned by the sink, sizes are bounded, and what
does not parse is counted in `broken`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

#: Frames kept per stack, the innermost ones; py-spy itself gives up at 4096.
MAX_FRAMES = 1024
#: Bytes decoded in one step: about 0.3 ms.
_PIECE = 1 << 16
#: Between two events. A quote inside a string is escaped, so these bytes cannot occur within one.
_SEPARATOR = b'},{"args":{'
_ROOT = re.compile(r"thread \((0x[0-9A-Fa-f]{1,16}|[0-9]{1,20})\)(?:: (.*))?", re.DOTALL)
#: Events of one sample lie within this time of each other (100 threads take about 100 µs to write down).
_SAME_SAMPLE_NS = 500_000

FrameKey = tuple[str, str, int]  #: function, file, line


class _Place(msgspec.Struct, gc=False):
    filename: str = ""
    line: int | None = None


class _Event(msgspec.Struct, gc=False):
    name: str
    ph: str
    tid: int
    ts: int
    args: _Place = msgspec.field(default_factory=_Place)


_events = msgspec.json.Decoder(list[_Event])
_one = msgspec.json.Decoder(_Event)


class Stack:
    """A stack as py-spy shows it, leaf first. Interned: compare by identity.

    `id` is the sink's id of it, valid while the sink's generation is `generation`.
    """

    __slots__ = ("frames", "generation", "id", "truncated")

    def __init__(self, frames: tuple[FrameKey, ...], truncated: bool = False) -> None:
        self.frames = frames
        self.truncated = truncated
        self.id = 0
        self.generation = -1


class Interner:
    """Equal stacks become one object. Bounded: forgetting costs only that a stack is defined twice."""

    LIMIT = 20_000

    def __init__(self) -> None:
        self._stacks: dict[tuple[FrameKey, ...], Stack] = {}

    def stack(self, root_first: list[FrameKey]) -> Stack:
        kept = tuple(root_first[: -MAX_FRAMES - 1 : -1])
        found = self._stacks.get(kept)
        if found is None:
            if len(self._stacks) >= self.LIMIT:
                self._stacks.clear()
            found = self._stacks[kept] = Stack(kept, len(kept) < len(root_first))
        return found


class Track:
    """What one thread did during one window: from `times[i]` on its stack was `stacks[i]` (None: ended)."""

    def __init__(self) -> None:
        self.name = ""
        self.native_tid = 0  #: as the root frame says it (Python 3.11+); 0 when it gives the pthread handle
        self.times: list[int] = []
        self.stacks: list[Stack | None] = []
        self.open: list[FrameKey] = []  #: frames now open, root first, without the pseudo frame


class Trace:
    """The timelines of one window; `feed` is called until it returns True.

    `zero_ns` is the monotonic moment of py-spy's time 0. Tracks are by pthread handle.
    """

    def __init__(self, data: bytes, zero_ns: int, interner: Interner) -> None:
        self.tracks: dict[int, Track] = {}
        self.sample_times: list[int] = []  #: moments at which py-spy is known to have looked, ascending
        self.broken = 0  #: events that could not be understood
        self.first_ns = 0  #: the first sample; 0 when there was none
        self._data = data
        self._at = 0
        self._zero = zero_ns
        self._interner = interner
        self._last: tuple[int, int] = (-1, -1)  #: thread and time of the event before
        self._written_ns = 0

    def feed(self) -> bool:
        """Decode one more piece. True when all is read (the remaining ends, written at exit, are dropped)."""
        piece = self._next_piece()
        if piece is None:
            self._settle()
            self._drop_the_closing_events()
            self._data = b""
            return True
        for event in self._decode(piece):
            self._event(event)
        return False

    def _next_piece(self) -> bytes | None:
        data, start = self._data, self._at
        if start == 0:
            start = data.find(b"{")
        if start < 0 or start >= len(data):
            return None
        cut = data.find(_SEPARATOR, start + _PIECE)
        if cut < 0:
            end = data.rfind(b"}") + 1
            self._at = len(data)
            return b"[" + data[start:end] + b"]" if end > start else None
        self._at = cut + 2
        return b"[" + data[start : cut + 1] + b"]"

    def _decode(self, piece: bytes) -> list[_Event]:
        try:
            return _events.decode(piece)
        except (msgspec.DecodeError, ValueError):
            return list(self._decode_singly(piece))

    def _decode_singly(self, piece: bytes) -> Iterator[_Event]:
        """The slow way, when one event of the piece is not as expected: keep the others."""
        parts = piece[1:-1].split(_SEPARATOR)
        for i, part in enumerate(parts):
            whole = (b'{"args":{' if i else b"") + part + (b"}" if i < len(parts) - 1 else b"")
            try:
                yield _one.decode(whole)
            except (msgspec.DecodeError, ValueError):
                self.broken += 1

    def _event(self, event: _Event) -> None:
        at = self._zero + event.ts * 1000
        handle = event.tid
        if self._last != (handle, at):
            self._settle()
            self._last = (handle, at)
        track = self.tracks.get(handle)
        if track is None:
            track = self.tracks[handle] = Track()
        key = (event.name, event.args.filename, event.args.line or 0)
        if event.ph == "B":
            if not event.args.filename and not track.open and (root := _ROOT.fullmatch(event.name)):
                track.name = root[2] or ""
                track.native_tid = 0 if root[1].startswith("0x") else int(root[1])
                return
            track.open.append(key)
        elif event.ph == "E":
            if track.open and track.open[-1] == key:
                track.open.pop()
            elif event.args.filename or not _ROOT.fullmatch(event.name):
                self.broken += 1
        # 'M' (metadata, newer py-spy) carries nothing that the root frame has not

    def _settle(self) -> None:
        """All events of one thread and moment are read: note the stack."""
        handle, at = self._last
        if handle == -1 and at == -1:
            return
        track = self.tracks[handle]
        stack = self._interner.stack(track.open)
        if track.times and at < track.times[-1]:  # never seen; the timeline must stay in order
            self.broken += 1
            return
        track.times.append(at)
        track.stacks.append(stack)
        times = self.sample_times
        if not times:
            self.first_ns = at
            times.append(at)
        elif at > times[-1] + _SAME_SAMPLE_NS:
            times.append(at)

    def _drop_the_closing_events(self) -> None:
        """py-spy closes every open frame at the moment it writes the file: not something the threads did."""
        if not self.sample_times:
            return
        end = max(track.times[-1] for track in self.tracks.values() if track.times)
        for track in self.tracks.values():
            if track.times and track.times[-1] == end and not track.open:
                track.times.pop()
                track.stacks.pop()
        self._written_ns = end
        if self.sample_times[-1] >= end - _SAME_SAMPLE_NS and len(self.sample_times) > 1:
            self.sample_times.pop()

    @property
    def written_ns(self) -> int:
        """When py-spy wrote the file, by its own clock: nothing was sampled later."""
        return self._written_ns
