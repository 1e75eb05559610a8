"""Perfetto's protocol buffers: a track a thread with what it did, what it held below, arrows from who let a lock go to
who went on, and counters.

The protobuf form and not trace events in JSON: of a file that was cut off it shows what is there, names need no
escapes (of JSON the UI decodes some), and it takes a third of the room. What its reader wants besides: a timestamp of
zero must be written (left out, the packet is dropped), an arrow needs an id of its own for every pair (one that is
shared makes a chain), and it goes from the end of the earlier slice to the beginning of the later one. Tracks stand in
the order of thread ids whatever one asks for.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from concview.analysis.samples import Activity, Blocker, LockName, ProcessCounters, SampledThread, Samples
from concview.exporters import _names
from concview.exporters._protobuf import integer, present, varint
from concview.exporters._protobuf import text as field
from concview.exporters._runs import Runs
from concview.exporters.base import Exporter, Request, remarks
from concview.model import State
from concview.session.recording import Recording

#: Locks with tracks of their own: those that were waited for longest.
MOST_LOCKS = 100
#: Written when so much has gathered.
_CHUNK = 1 << 18
_SEQUENCE = integer(10, 1)
_BEGIN, _END, _COUNTER = integer(9, 1), integer(9, 2), integer(9, 4)
#: Interned names: event names, names of arguments, texts of arguments (fields of InternedData).
_CATEGORIES, _EVENTS, _ARGUMENTS, _TEXTS = 1, 2, 3, 29
_PROCESS = 1


class _Trace:
    """Packets of one sequence. Times are nanoseconds since `zero_ns`."""

    def __init__(self, out: BinaryIO, zero_ns: int) -> None:
        self._out, self._zero = out, zero_ns
        self._pending = bytearray()
        self._interned: dict[tuple[int, str], int] = {}
        self._numbers: dict[int, int] = defaultdict(int)
        self._new = bytearray()  #: interned with the next packet
        self._tracks = _PROCESS
        self._processes, self._parent = 0, _PROCESS
        self._packet(integer(13, 1))

    def _packet(self, body: bytes) -> None:
        if self._new:
            body += field(12, bytes(self._new))
            self._new.clear()
        body += _SEQUENCE
        self._pending += b"\x0a" + varint(len(body)) + body
        if len(self._pending) > _CHUNK:
            self.flush()

    def flush(self) -> None:
        self._out.write(bytes(self._pending))
        self._pending.clear()

    def _intern(self, kind: int, value: str) -> int:
        number = self._interned.get((kind, value))
        if number is None:
            number = self._numbers[kind] = self._numbers[kind] + 1
            self._interned[kind, value] = number
            self._new += field(kind, integer(1, number) + field(2, value))
        return number

    def process(self, pid: int, command: tuple[str, ...]) -> int:
        """Its track: the first one's is the parent of whatever names no other; of several, counters are of all."""
        track = _PROCESS
        if self._processes:
            self._tracks += 1
            track, self._parent = self._tracks, 0
        self._processes += 1
        words = b"".join(field(2, word) for word in command)
        said = integer(1, pid) + words + field(6, " ".join(command) or "python")
        self._packet(field(60, integer(1, track) + field(3, said)))
        return track

    def thread(self, pid: int, tid: int, name: str, process: int) -> int:
        return self._track(field(4, integer(1, pid) + integer(2, tid) + field(5, name)), process)

    def named(self, name: str, parent: int = _PROCESS) -> int:
        return self._track(field(2, name), parent)

    def counter(self, name: str, unit: str) -> int:
        return self._track(field(2, name) + field(8, field(6, unit)), self._parent)

    def _track(self, body: bytes, parent: int = _PROCESS) -> int:
        self._tracks += 1
        above = integer(5, parent) if parent else b""
        self._packet(field(60, integer(1, self._tracks) + above + body))
        return self._tracks

    def slice_body(self, name: str, category: str, arguments: dict[str, str]) -> bytes:
        """The unchanging part of the beginning of a slice. Interned now: it must be used from here on only."""
        body = _BEGIN + integer(10, self._intern(_EVENTS, name)) + integer(3, self._intern(_CATEGORIES, category))
        for key, value in arguments.items():
            if value:
                said = integer(1, self._intern(_ARGUMENTS, key)) + integer(17, self._intern(_TEXTS, value))
                body += field(4, said)
        return body

    def begin(self, track: int, at_ns: int, body: bytes, arrows: Iterable[int] = ()) -> None:
        for arrow in arrows:
            body += varint(47 << 3 | 1) + struct.pack("<Q", arrow)
        self._event(at_ns, integer(11, track) + body)

    def end(self, track: int, at_ns: int) -> None:
        self._event(at_ns, integer(11, track) + _END)

    def value(self, track: int, at_ns: int, value: int) -> None:
        self._event(at_ns, integer(11, track) + _COUNTER + present(30, value))

    def _event(self, at_ns: int, body: bytes) -> None:
        # 13: names stand in the sequence's state.
        self._packet(present(8, at_ns - self._zero) + integer(13, 2) + field(11, body))


class _Locks:
    """Which locks get tracks, who held them when, and which slice an arrow begins at."""

    def __init__(self, runs: Runs) -> None:
        waited: dict[str, int] = defaultdict(int)
        self.names: dict[str, LockName] = {}
        self._alias: dict[str, str] = {}
        for thread in runs.threads:
            for start, end, kind in runs.of(thread):
                lock = runs.kinds[kind][0].lock
                if lock is not None:
                    waited[lock.key] += end - start
                    self.names.setdefault(lock.key, lock)
        self.keys = sorted(waited, key=lambda k: -waited[k])[:MOST_LOCKS]
        self.left_out = len(waited) - len(self.keys)
        for key in self.keys:
            site = self.names[key].site
            self._alias[key] = key
            if site is not None:  # who holds it may be known by the place alone, and who waits by the object
                self._alias.setdefault(site.key, key)
        self.held: dict[tuple[SampledThread, str], list[list[int]]] = {}
        for thread in runs.threads:
            for start, end, kind in runs.of(thread):
                for key in self._keys(runs.kinds[kind][0]):
                    spans = self.held.setdefault((thread, key), [])
                    if spans and spans[-1][1] == start:
                        spans[-1][1] = end
                    else:
                        spans.append([start, end])

    def _keys(self, activity: Activity) -> Iterator[str]:
        for lock in activity.held:
            key = self._alias.get(lock.key)
            if key is None and lock.site is not None:
                key = self._alias.get(lock.site.key)
            if key is not None:
                yield key

    def let_go(self, thread: SampledThread, lock: LockName, at_ns: int) -> tuple[SampledThread, str, int] | None:
        """It was let go then, since somebody else went on with it: a hold that seems longer was two. Its beginning."""
        key = self._alias.get(lock.key, "")
        spans = self.held.get((thread, key))
        if not spans:
            return None
        i = bisect_right(spans, at_ns - 1, key=lambda span: span[0]) - 1
        if i < 0 or spans[i][1] < at_ns:
            return None
        start, end = spans[i]
        if end > at_ns:
            spans[i : i + 1] = [[start, at_ns], [at_ns, end]]
        return thread, key, start


class _Looks:
    """The slices of every kind of run. Kinds that differ in locks held alone look the same."""

    def __init__(self, trace: _Trace, runs: Runs, side: str) -> None:
        self._trace, self._kinds, self._side = trace, runs.kinds, side
        self._same: dict[tuple[object, ...], int] = {}
        self._bodies: dict[int, tuple[bytes, bytes]] = {}
        self.of = [self._look(*kind) for kind in runs.kinds]

    def _look(self, activity: Activity, blocker: Blocker | None) -> int:
        key = (activity.word, id(activity.stack), activity.wait, activity.lock, blocker)
        return self._same.setdefault(key, len(self._same))

    def bodies(self, kind: int) -> tuple[bytes, bytes]:
        """The state, and below it the line of the program's own code."""
        look = self.of[kind]
        known = self._bodies.get(look)
        if known is None:
            activity, blocker = self._kinds[kind]
            frame = activity.stack.user_leaf
            inner = self._trace.slice_body(_names.place(frame), "code", {}) if frame is not None else b""
            outer = self._trace.slice_body(activity.word, "state", self._arguments(activity, blocker))
            known = self._bodies[look] = (outer, inner)
        return known

    def _arguments(self, activity: Activity, blocker: Blocker | None) -> dict[str, str]:
        said = {"stack": "\n".join(_names.place(f) for f in activity.stack.frames)}
        if activity.state is not State.RUNNING and activity.state is not State.RUNNABLE:
            said["waits_for"] = activity.detail
        if blocker is not None:
            way = "waiter" if self._side == "holder" else "held_by" if activity.lock is not None else "behind"
            said |= {way: _names.thread(blocker.thread), "confidence": blocker.confidence.value}
        return said

    def draw(self, track: int, rows: Iterable[tuple[int, int, int]], arrive: Mapping[int, list[int]]) -> None:
        """Runs that touch and look alike are one slice. `arrive`: moment -> arrows that end there."""
        last: tuple[int, int, int] | None = None
        for start, end, kind in rows:
            if last is not None and last[1] == start and self.of[last[2]] == self.of[kind]:
                last = (last[0], end, last[2])
                continue
            if last is not None:
                self._slice(track, *last, arrive)
            last = (start, end, kind)
        if last is not None:
            self._slice(track, *last, arrive)

    def _slice(self, track: int, start: int, end: int, kind: int, arrive: Mapping[int, list[int]]) -> None:
        trace = self._trace
        outer, inner = self.bodies(kind)
        trace.begin(track, start, outer, arrive.get(start, ()))
        if inner:
            trace.begin(track, start, inner)
            trace.end(track, end)
        trace.end(track, end)


class _Arrows:
    """From holds that ended to what the waiter did then. `leave`: (holder, lock, beginning of the hold) -> arrows;
    `arrive`: waiter -> moment -> the same arrows."""

    def __init__(self, runs: Runs, locks: _Locks) -> None:
        self.number = 0
        self.leave: dict[tuple[SampledThread, str, int], list[int]] = defaultdict(list)
        self.arrive: dict[SampledThread, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for thread in runs.threads:
            before: tuple[LockName, Blocker, int] | None = None
            for start, end, kind in runs.of(thread):
                activity, blocker = runs.kinds[kind]
                if before is not None and before[2] == start and activity.lock != before[0]:
                    hold = locks.let_go(before[1].thread, before[0], start)
                    if hold is not None:
                        self.number += 1
                        self.leave[hold].append(self.number)
                        self.arrive[thread][start].append(self.number)
                before = (activity.lock, blocker, end) if activity.lock is not None and blocker is not None else None


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, tasks=request.tasks)
    runs = Runs(samples)
    hello = samples.hello
    assert hello is not None
    pid = hello.target.pid
    trace = _Trace(out, samples.first_ns)
    looks = _Looks(trace, runs, request.side)
    processes = {t.pid: (t.label.rstrip(": "),) if t.pid else hello.target.command for t in runs.threads}
    parents = {p: trace.process(p or pid, command) for p, command in sorted(processes.items())}
    tracks = {
        t: trace.thread(t.pid or pid, t.tid, _names.thread(t), parents[t.pid])
        for t in sorted(runs.threads, key=lambda t: t.tid)
    }
    if request.side == "holder":  # in the way of several at once: a track for each of them
        for thread, track in tracks.items():
            each: dict[SampledThread, list[tuple[int, int, int]]] = defaultdict(list)
            for row in runs.of(thread):
                blocker = runs.kinds[row[2]][1]
                assert blocker is not None
                each[blocker.thread].append(row)
            for waiter, rows in each.items():
                looks.draw(trace.named(f"{_names.thread(waiter)} waits for it", track), rows, {})
        trace.flush()
        return remarks(samples)
    locks = _Locks(runs)
    arrows = _Arrows(runs, locks)
    for thread, track in tracks.items():
        looks.draw(track, runs.of(thread), arrows.arrive.get(thread, {}))
    for (thread, key), spans in locks.held.items():
        name = f"holds {locks.names[key].name}"
        track = trace.named(name, tracks[thread])
        body = trace.slice_body(name, "hold", {})
        for start, end in spans:
            trace.begin(track, start, body, arrows.leave.get((thread, key, start), ()))
            trace.end(track, end)
    _counters(trace, runs, locks, samples)
    trace.flush()
    said = [f"{arrows.number} arrows from who let a lock go to who went on", *remarks(samples)]
    if locks.left_out:
        said.append(f"{locks.left_out} locks that were waited for least have no tracks of their own")
    return said


def _counters(trace: _Trace, runs: Runs, locks: _Locks, samples: Samples) -> None:
    changes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    wanted = set(locks.keys)
    for thread in runs.threads:
        for start, end, kind in runs.of(thread):
            activity = runs.kinds[kind][0]
            name = ""
            if activity.lock is not None and activity.lock.key in wanted:
                name = f"waiting for {activity.lock.name}"
            elif activity.state is State.GIL:
                name = "waiting for the GIL"
            elif activity.state is State.RUNNABLE:
                name = "waiting for a CPU"
            elif activity.state is State.RUNNING:
                name = "running"
            if name:
                changes[name][start] += 1
                changes[name][end] -= 1
    for name, steps in sorted(changes.items()):
        track = trace.counter(name, "threads")
        value = 0
        for at, step in sorted(steps.items()):
            if step:
                value += step
                trace.value(track, at, value)
    _process_counters(trace, samples)


def _process_counters(trace: _Trace, samples: Samples) -> None:
    first, last = _interval(samples)
    seen = [c for c in samples.counters if first <= c.at_ns <= last]
    if not seen:
        return
    cpu, memory = trace.counter("process CPU", "% of a core"), trace.counter("process memory", "bytes")
    before: ProcessCounters | None = None
    for now in seen:
        if before is not None and now.at_ns > before.at_ns:
            used = now.cpu_user_s + now.cpu_system_s - before.cpu_user_s - before.cpu_system_s
            trace.value(cpu, before.at_ns, max(0, round(used / (now.at_ns - before.at_ns) * 1e11)))
        trace.value(memory, now.at_ns, now.rss)
        before = now


def _interval(samples: Samples) -> tuple[int, int]:
    chosen = samples.selection
    first = samples.first_ns + int(chosen.from_s * 1e9)
    last = samples.first_ns + int(chosen.to_s * 1e9) if chosen.to_s is not None else samples.last_ns
    return first, min(last, samples.last_ns)


EXPORTER = Exporter(
    "a time line: a track a thread, locks held, arrows, counters, for ui.perfetto.dev",
    write,
    sides=True,
    suffix=".pftrace",
    together=True,
    tasks=True,
)
