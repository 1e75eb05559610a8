"""What the page's pictures are drawn from: time by thread (or task), state and stack, and what each mostly did when."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import add

from concview.analysis.samples import Samples
from concview.exporters import _names
from concview.exporters._names import Named
from concview.exporters._totals import nothing
from concview.exporters.base import Nothing, remarks
from concview.model import STATES, TASK_STATES, Severity, Stack, State, TaskState
from concview.session.account import Account

#: Columns of the time line, and its rows.
BUCKETS, ROWS = 600, 400
#: Different pieces that the flame graph is made of; the smallest of more are put together by thread and state.
MOST_KEYS = 20_000


@dataclass(frozen=True)
class Kind:
    """Whose time it is: what one is called, its states in order, their colours, and those of one that wants nothing."""

    word: str
    states: tuple[str, ...]
    colours: tuple[str, ...]
    quiet: tuple[int, ...]


THREADS = Kind(
    "thread",
    STATES,
    ("#43a563", "#d8b52a", "#f0922b", "#e0567f", "#4d94e8", "#a9b6c6", "#d5dbe3", "#8a93a0"),
    (State.SLEEP, State.IDLE),
)
#: A state that threads have, too, has the same colour.
TASKS = Kind(
    "task",
    TASK_STATES,
    (
        "#43a563",
        "#d8b52a",
        "#e0567f",
        "#b76fd6",
        "#f0922b",
        "#a9b6c6",
        "#4d94e8",
        "#2fb0a8",
        "#8d7be8",
        "#d5dbe3",
        "#8a93a0",
    ),
    (TaskState.SLEEP, TaskState.IDLE),
)


class _Strip:
    """Nanoseconds a bucket and state of one thread."""

    __slots__ = ("_n", "ns")

    def __init__(self, states: int) -> None:
        self._n = states
        self.ns = array("q", bytes(8 * BUCKETS * states))

    def halve(self) -> None:
        n, old, new = self._n, self.ns, array("q", bytes(8 * BUCKETS * self._n))
        for s in range(n):
            new[s : BUCKETS // 2 * n : n] = array("q", map(add, old[s :: 2 * n], old[s + n :: 2 * n]))
        self.ns = new

    def text(self, used: int) -> str:
        """A character a bucket: '0' and those behind it for the states, '-' where nothing was seen."""
        out, n = [], self._n
        for i in range(used):
            row = self.ns[i * n : (i + 1) * n]
            most = max(row)
            out.append(chr(ord("0") + row.index(most)) if most else "-")
        return "".join(out)


@dataclass(frozen=True)
class _Thread:
    tid: int
    name: str


class Picture:
    """`missing`: what was not seen, a sentence each. Made by `of_samples` or `of_runs`; Nothing where they are none."""

    def __init__(self, kind: Kind = THREADS) -> None:
        self.kind = kind
        self.missing: list[str] = []
        self.gaps: list[tuple[float, float]] = []  #: (from, to) without a sample, seconds since the first one
        self.begin_s = 0.0  #: of the time line, seconds since the first sample
        self._width = 1_000_000  #: nanoseconds a bucket; twice as much whenever the recording turns out longer
        self._used = 0
        self._strips: dict[Named, _Strip] = {}
        self.ns: dict[Named, list[int]] = defaultdict(lambda: [0] * len(kind.states))
        self._frames: dict[str, int] = {}
        self._own: list[int] = []
        self._stacks: dict[int, int] = {}
        self._lists: list[list[int]] = []
        self._leaves: dict[str, int] = {}
        self._keys: dict[tuple[Named, int, int, int], int] = defaultdict(int)

    @classmethod
    def of_samples(cls, samples: Samples, side: str) -> Picture:
        picture = cls(TASKS if samples.whose == "task" else THREADS)
        number_of = picture.kind.states.index
        #: What is done, behind whom -> its place among `kinds`, and its state. There are many pieces and few of these.
        known: dict[tuple[int, int], tuple[int, int]] = {}
        kinds: list[tuple[int, Stack, int]] = []  #: state, stack, what is waited for
        rows: dict[Named, int] = {}
        spent: dict[tuple[int, int], int] = {}  #: by row and kind
        draw = picture._draw
        for pieces in samples:
            zero = samples.first_ns + int(samples.selection.from_s * 1e9)
            for thread, start, end, activity, blocker, _ in pieces:
                pair = (id(activity), id(blocker))
                of = known.get(pair)
                if of is None:
                    state = number_of(activity.word)
                    leaf = picture._leaf(_names.waits(activity, blocker, side))
                    of = known[pair] = len(kinds), state
                    kinds.append((state, activity.stack, leaf))
                row = rows.get(thread)
                if row is None:
                    row = rows[thread] = len(rows)
                key = (row, of[0])
                spent[key] = spent.get(key, 0) + end - start
                draw(thread, start - zero, end - zero, of[1])
        threads = list(rows)
        for (row, kind), ns in spent.items():
            picture._spend(threads[row], ns, *kinds[kind])
        if not picture._keys:
            raise nothing(samples)
        picture.begin_s = samples.selection.from_s
        picture.missing = remarks(samples)
        picture.gaps = [(g.start_s, g.start_s + g.seconds) for g in samples.gaps.longest()]
        if samples.broken:
            picture.missing.append(f"the recording breaks off: {samples.broken}")
        return picture

    @classmethod
    def of_runs(cls, runs: Iterable[tuple[int, str, int, int, State, Stack]], zero_ns: int, begin_s: float) -> Picture:
        """(tid, name, from, to, state, stack); a stack must stay alive as long as the picture is made."""
        picture = cls()
        picture.begin_s = begin_s
        for tid, name, start, end, state, stack in runs:
            if end > start >= zero_ns:
                thread = _Thread(tid, name)
                picture._spend(thread, end - start, state, stack, -1)
                picture._draw(thread, start - zero_ns, end - zero_ns, state)
        if not picture._keys:
            raise Nothing("nothing is known in detail of these moments")
        return picture

    def _leaf(self, said: str) -> int:
        return self._leaves.setdefault(said, len(self._leaves)) if said else -1

    def _stack(self, stack: Stack) -> int:
        numbers = []
        for frame in reversed(stack.frames):
            name = _names.place(frame)
            number = self._frames.get(name)
            if number is None:
                number = self._frames[name] = len(self._frames)
                self._own.append(int(frame.origin == "user"))
            numbers.append(number)
        self._stacks[id(stack)] = len(self._lists)
        self._lists.append(numbers)
        return self._stacks[id(stack)]

    def _spend(self, thread: Named, ns: int, state: int, stack: Stack, leaf: int) -> None:
        """Add so much time. `state`: its place in those of the kind."""
        number = self._stacks.get(id(stack))
        if number is None:
            number = self._stack(stack)
        self._keys[thread, state, number, leaf] += ns
        self.ns[thread][state] += ns

    def _draw(self, thread: Named, start: int, end: int, state: int) -> None:
        """Into the time line: nanoseconds since its beginning."""
        strip = self._strips.get(thread)
        if strip is None:
            if len(self._strips) >= ROWS:
                return
            strip = self._strips[thread] = _Strip(len(self.kind.states))
        while end > self._width * BUCKETS:
            for other in self._strips.values():
                other.halve()
            self._width *= 2
            self._used = (self._used + 1) // 2
        width, ns, states = self._width, strip.ns, len(self.kind.states)
        first, last = start // width, (end - 1) // width
        if last >= self._used:
            self._used = last + 1
        if first == last:
            ns[first * states + state] += end - start
            return
        ns[first * states + state] += (first + 1) * width - start
        for i in range(first + 1, last):
            ns[i * states + state] += width
        ns[last * states + state] += end - last * width

    @property
    def threads(self) -> list[Named]:
        """Those that want or do something first."""
        quiet = self.kind.quiet
        return sorted(self.ns, key=lambda t: (sum(self.ns[t][s] for s in quiet) - sum(self.ns[t]), t.tid))

    @property
    def rows_left_out(self) -> int:
        return len(self.ns) - len(self._strips)

    def data(self, account: Account) -> dict[str, object]:
        """For the page's script. Times in microseconds; of the time line in seconds."""
        threads = self.threads
        numbers = {t: i for i, t in enumerate(threads)}
        keys = sorted(self._keys.items(), key=lambda item: -item[1])
        rows = [[numbers[t], s, stack, leaf, ns // 1000] for (t, s, stack, leaf), ns in keys[:MOST_KEYS]]
        if len(keys) > MOST_KEYS:
            frame = self._frames.setdefault("(smaller stacks)", len(self._frames))
            if frame == len(self._own):
                self._own.append(0)
            self._lists.append([frame])
            rest: dict[tuple[int, int], int] = defaultdict(int)
            for (t, s, _, _), ns in keys[MOST_KEYS:]:
                rest[numbers[t], s] += ns
            rows += [[t, s, len(self._lists) - 1, -1, ns // 1000] for (t, s), ns in rest.items()]
        seconds = self._used * self._width / 1e9
        begin = self.begin_s
        marks = []
        for m in account.timeline.marks:
            a, b = account.seconds_of(m.start_ns), account.seconds_of(m.end_ns)
            if b >= begin and a <= begin + seconds:
                warn = m.severity is Severity.WARN
                marks.append({"a": round(a, 3), "b": round(b, 3), "warn": warn, "id": m.id, "title": m.title})
        return {
            "whose": self.kind.word,
            "states": list(self.kind.states),
            "colours": list(self.kind.colours),
            "frames": list(self._frames),
            "own": self._own,
            "stacks": self._lists,
            "leaves": list(self._leaves),
            "keys": rows,
            "threads": [{"name": _names.thread(t), "tid": t.tid} for t in threads],
            "strips": [self._strips[t].text(self._used) if t in self._strips else "" for t in threads],
            "from": begin,
            "seconds": seconds,
            "marks": marks,
            "gaps": [[round(a, 3), round(b, 3)] for a, b in self.gaps if b >= begin and a <= begin + seconds],
        }
