"""Firefox Profiler's processed format, version 57, which Python 3.15 writes as well; newer readers upgrade it.

A sample's category is its state: a frame below the leaf carries it, so that the graph of every thread is coloured by
state. Waits are interval markers that name what was waited for and who was in the way. Written thread by thread: the
whole would take the memory of all of them at once. Weights are milliseconds of elapsed time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from concview import __version__
from concview.analysis.samples import Activity, Blocker, SampledThread, Samples
from concview.exporters import _names
from concview.exporters._runs import Runs
from concview.exporters.base import Exporter, Request, remarks
from concview.model import STATES, Frame, State
from concview.session.recording import Recording

_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
#: Of the colours that the profiler has.
_COLOURS = {
    State.RUNNING: "green", State.RUNNABLE: "yellow", State.GIL: "orange", State.LOCK: "red", State.IO: "blue",
    State.SLEEP: "lightblue", State.IDLE: "transparent", State.UNKNOWN: "grey",
}  # fmt: skip
_PYTHON = len(STATES)  #: number of the category of frames
_WAITS = frozenset({State.GIL, State.LOCK, State.IO})
_MARKER = "concview wait"


class _Strings:
    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, value: str) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def every(self) -> list[str]:
        return list(self._numbers)


class _Thread:
    """The tables of one thread. Every one is a struct of columns."""

    def __init__(self, string: Callable[[str], int], side: str) -> None:
        self._string, self._side = string, side
        self._files: dict[str, int] = {}
        self._functions: dict[tuple[str, str], int] = {}
        self._frames: dict[tuple[int, int, int], int] = {}
        self._stacks: dict[tuple[int | None, int], int] = {}
        self._of_stack: dict[int, int | None] = {}

    def _frame(self, name: str, file: str, line: int, category: int) -> int:
        if file:
            self._files.setdefault(file, len(self._files))
        function = self._functions.setdefault((name, file), len(self._functions))
        return self._frames.setdefault((function, line, category), len(self._frames))

    def _node(self, prefix: int | None, frame: int) -> int:
        return self._stacks.setdefault((prefix, frame), len(self._stacks))

    def _of(self, frame: Frame) -> int:
        return self._frame(_names.function(frame), frame.file, frame.line, _PYTHON)

    def sample(self, activity: Activity, blocker: Blocker | None) -> int:
        """The stack's number."""
        at = id(activity.stack)
        if at not in self._of_stack:
            node: int | None = None
            for frame in reversed(activity.stack.frames):
                node = self._node(node, self._of(frame))
            self._of_stack[at] = node
        node = self._of_stack[at]
        for leaf in _names.leaves(activity, blocker, self._side):
            node = self._node(node, self._frame(leaf, "", 0, activity.state))
        assert node is not None
        return node

    def tables(self) -> str:
        string = self._string
        frames, functions, stacks = list(self._frames), list(self._functions), list(self._stacks)
        nothing = "null"
        return ",".join(
            (
                _table(
                    "stackTable",
                    len(stacks),
                    {
                        "frame": _numbers(frame for _, frame in stacks),
                        "prefix": _numbers(prefix for prefix, _ in stacks),
                        "category": _numbers(frames[frame][2] for _, frame in stacks),
                        "subcategory": _same("0", len(stacks)),
                    },
                ),
                _table(
                    "frameTable",
                    len(frames),
                    {
                        "address": _same("-1", len(frames)),
                        "inlineDepth": _same("0", len(frames)),
                        "category": _numbers(category for *_, category in frames),
                        "subcategory": _same("0", len(frames)),
                        "func": _numbers(function for function, *_ in frames),
                        "nativeSymbol": _same(nothing, len(frames)),
                        "innerWindowID": _same(nothing, len(frames)),
                        "implementation": _same(nothing, len(frames)),
                        "line": _numbers(line or None for _, line, _ in frames),
                        "column": _same(nothing, len(frames)),
                    },
                ),
                _table(
                    "funcTable",
                    len(functions),
                    {
                        "name": _numbers(string(name) for name, _ in functions),
                        "isJS": _same("false", len(functions)),
                        "relevantForJS": _same("false", len(functions)),
                        "resource": _numbers(self._files.get(file, -1) for _, file in functions),
                        "fileName": _numbers(string(file) if file else None for _, file in functions),
                        "lineNumber": _same(nothing, len(functions)),
                        "columnNumber": _same(nothing, len(functions)),
                    },
                ),
                _table(
                    "resourceTable",
                    len(self._files),
                    {
                        "lib": _same(nothing, len(self._files)),
                        "name": _numbers(string(file) for file in self._files),
                        "host": _same(nothing, len(self._files)),
                        "type": _same("5", len(self._files)),
                    },
                ),
                _table("nativeSymbols", 0, dict.fromkeys(("libIndex", "address", "name", "functionSize"), "[]")),
            )
        )


def _numbers(values: Iterable[int | None]) -> str:
    return "[" + ",".join("null" if v is None else str(int(v)) for v in values) + "]"


def _same(value: str, number: int) -> str:
    return "[" + ",".join([value] * number) + "]"


def _table(name: str, length: int, columns: dict[str, str]) -> str:
    return f'"{name}":{{' + "".join(f'"{key}":{column},' for key, column in columns.items()) + f'"length":{length}}}'


def _ms(ns: int) -> str:
    """Milliseconds to the microsecond, without binary fractions."""
    return f"{ns / 1e6:.3f}"


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, tasks=request.tasks)
    runs = Runs(samples)
    string = _Strings()
    out.write(f'{{"meta":{_meta(samples)},"libs":[],"pages":[],"threads":['.encode())
    for number, thread in enumerate(sorted(runs.threads, key=lambda t: t.tid)):
        rows: Sequence[tuple[int, int, int]] = sorted(runs.of(thread))
        _thread(out, number, thread, rows, runs.kinds, string, samples, request.side)
    out.write(f'],"shared":{{"stringArray":{_text(string.every)},'.encode())
    out.write(b'"sources":{"length":0,"uuid":[],"filename":[]}}}\n')
    return remarks(samples)


def _meta(samples: Samples) -> str:
    hello = samples.hello
    assert hello is not None
    categories = [{"name": STATES[s], "color": _COLOURS[s], "subcategories": ["Other"]} for s in State]
    categories.append({"name": "Python", "color": "grey", "subcategories": ["Other"]})
    fields = [
        {"key": "what", "label": "waits for", "format": "string", "searchable": True},
        {"key": "behind", "label": "behind", "format": "string", "searchable": True},
        {"key": "confidence", "label": "confidence", "format": "string"},
    ]
    schema = {
        "name": _MARKER, "tooltipLabel": "{marker.name}: {marker.data.what}",
        "tableLabel": "{marker.data.what} {marker.data.behind}", "chartLabel": "{marker.data.what}",
        "display": ["marker-chart", "marker-table", "timeline-overview"], "fields": fields,
    }  # fmt: skip
    return _text(
        {
            "version": 32,
            "preprocessedProfileVersion": 57,
            "processType": 0,
            "product": "Python",
            "stackwalk": 0,
            "interval": 1000 / (hello.rate_hz or 100),
            "platform": "Linux",
            "oscpu": "",
            "toolkit": "",
            "abi": "",
            "startTime": (hello.epoch + (samples.first_ns - hello.at_ns) / 1e9) * 1000,
            "shutdownTime": None,
            "misc": " ".join(hello.target.command),
            "appBuildID": "",
            "symbolicated": True,
            "categories": categories,
            "markerSchema": [schema],
            "importedFrom": f"concview {__version__}",
            "debug": False,
            "arguments": " ".join(hello.target.command),
            "sourceURL": "",
            "usesOnlyOneStackType": True,
            "extensions": {"id": [], "name": [], "baseURL": [], "length": 0},
        }
    )


def _thread(
    out: BinaryIO,
    number: int,
    thread: SampledThread,
    rows: Sequence[tuple[int, int, int]],
    kinds: Sequence[tuple[Activity, Blocker | None]],
    string: _Strings,
    samples: Samples,
    side: str,
) -> None:
    hello = samples.hello
    assert hello is not None
    zero, pid = samples.first_ns, thread.pid or hello.target.pid
    tables = _Thread(string, side)
    stacks: dict[int, str] = {}
    for *_, kind in rows:
        if kind not in stacks:
            stacks[kind] = str(tables.sample(*kinds[kind]))
    born, gone = rows[0][0], thread.gone_ns
    head = {
        "name": _names.thread(thread), "isMainThread": thread.tid == pid, "processType": "default",
        "processName": thread.label.rstrip(": ") or " ".join(hello.target.command) or "python", "processStartupTime": 0,
        "processShutdownTime": None, "registerTime": round((born - zero) / 1e6, 3),
        "unregisterTime": round((gone - zero) / 1e6, 3) if gone else None, "pausedRanges": [], "pid": str(pid),
        "tid": thread.tid,
    }  # fmt: skip
    length = len(rows)
    out.write((("," if number else "") + _text(head)[:-1] + ",").encode())
    columns = {
        "stack": "[" + ",".join(stacks[kind] for *_, kind in rows) + "]",
        "time": "[" + ",".join(_ms(start - zero) for start, *_ in rows) + "]",
        "weight": "[" + ",".join(_ms(end - start) for start, end, _ in rows) + "]",
        "weightType": '"tracing-ms"',
        "eventDelay": _same("null", length),
    }
    out.write((_table("samples", length, columns) + ",").encode())
    waits = [row for row in rows if kinds[row[2]][0].state in _WAITS or kinds[row[2]][1] is not None]
    data: dict[int, str] = {}
    for *_, kind in waits:
        if kind not in data:
            activity, blocker = kinds[kind]
            said = {"type": _MARKER, "what": activity.detail or activity.word}
            if blocker is not None:
                said |= {"behind": _names.thread(blocker.thread), "confidence": blocker.confidence.value}
                if side == "holder":
                    said["what"] = f"{_names.thread(blocker.thread)} waits for it"
            data[kind] = _text(said)
    names = {word: string(f"waits: {word}") for word in sorted({kinds[k][0].word for *_, k in waits})}
    columns = {
        "data": "[" + ",".join(data[kind] for *_, kind in waits) + "]",
        "name": _numbers(names[kinds[kind][0].word] for *_, kind in waits),
        "startTime": "[" + ",".join(_ms(start - zero) for start, *_ in waits) + "]",
        "endTime": "[" + ",".join(_ms(end - zero) for _, end, _ in waits) + "]",
        "phase": _same("1", len(waits)),
        "category": _numbers(kinds[kind][0].state for *_, kind in waits),
    }
    out.write((_table("markers", len(waits), columns) + "," + tables.tables() + "}").encode())


EXPORTER = Exporter(
    "a time line with states as categories and waits as markers, for profiler.firefox.com",
    write,
    sides=True,
    suffix=".json",
    together=True,
    tasks=True,
)
