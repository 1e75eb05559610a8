"""speedscope's own format: one profile of everything, one a state, and on request one a thread in the order of time.

A profile is the only dimension that speedscope has. The state stands as a frame below the leaf as well, so that it has
a row in the sandwich view. Its page checks little and says less: a profile list that is empty, weights that are fewer
than samples, a frame that does not exist leave it on the welcome page. Weights are whole nanoseconds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from concview import __version__
from concview.analysis.samples import Activity, Blocker
from concview.exporters import _names
from concview.exporters._runs import Runs
from concview.exporters._totals import totals
from concview.exporters.base import Exporter, Request, remarks
from concview.model import STATES, TASK_STATES, Frame
from concview.session.recording import Recording

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Frames:
    """The table of frames, and every stack as the text of its list of numbers."""

    def __init__(self, side: str) -> None:
        self._side = side
        self._numbers: dict[tuple[str, str, int], int] = {}
        self._stacks: dict[int, str] = {}

    def _number(self, name: str, file: str = "", line: int = 0) -> int:
        return self._numbers.setdefault((name, file, line), len(self._numbers))

    def _of(self, frame: Frame) -> int:
        return self._number(_names.function(frame), frame.file, frame.line)

    def sample(self, activity: Activity, blocker: Blocker | None) -> str:
        known = self._stacks.get(id(activity.stack))
        if known is None:
            numbers = [self._of(f) for f in reversed(activity.stack.frames)]
            known = self._stacks[id(activity.stack)] = "".join(f"{n}," for n in numbers)
        leaves = [self._number(leaf) for leaf in _names.leaves(activity, blocker, self._side)]
        return f"[{known}{','.join(map(str, leaves))}]"

    def write(self, out: BinaryIO) -> None:
        for i, (name, file, line) in enumerate(self._numbers):
            frame: dict[str, object] = {"name": name}
            if file:
                frame |= {"file": file, "line": line}
            out.write((("," if i else "") + _text(frame)).encode())


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(
        request.selection, request.side, gil_blockers=request.group_by == "state", tasks=request.tasks
    )
    frames = _Frames(request.side)
    lead = f'{{"$schema":"{_SCHEMA}","exporter":"concview {__version__}","activeProfileIndex":0,"profiles":['
    if request.group_by == "thread":
        runs = Runs(samples)
        texts = [frames.sample(*kind) for kind in runs.kinds]
        out.write(lead.encode())
        for i, thread in enumerate(runs.threads):
            whole = list(runs.of(thread))
            weights = [end - start for start, end, _ in whole]
            _profile(out, i, f"{_names.thread(thread)} ({thread.tid})", [texts[kind] for *_, kind in whole], weights)
    else:
        by_state: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for total in totals(samples):
            text = frames.sample(total.activity, total.blocker)
            by_state["all states"][text] += total.ns
            by_state[total.activity.word][text] += total.ns
        out.write(lead.encode())
        for i, name in enumerate(n for n in ("all states", *dict.fromkeys((*STATES, *TASK_STATES))) if n in by_state):
            _profile(out, i, name, by_state[name].keys(), list(by_state[name].values()))
    title = " ".join(samples.hello.target.command) if samples.hello is not None else ""
    out.write(f'],"name":{_text(title or "concview")},"shared":{{"frames":['.encode())
    frames.write(out)
    out.write(b"]}}\n")
    return remarks(samples)


def _profile(out: BinaryIO, number: int, name: str, samples: Iterable[str], weights: Sequence[int]) -> None:
    lead = f'{"," if number else ""}{{"type":"sampled","name":{_text(name)},"unit":"nanoseconds","startValue":0,'
    lists = f'"samples":[{",".join(samples)}],"weights":[{",".join(map(str, weights))}]'
    out.write(f'{lead}"endValue":{sum(weights)},{lists}}}'.encode())


EXPORTER = Exporter(
    "flame graphs, a profile a state, for speedscope",
    write,
    sides=True,
    groups=("state", "thread"),
    suffix=".speedscope.json",
    together=True,
    tasks=True,
)
