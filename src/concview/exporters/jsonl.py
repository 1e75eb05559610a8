"""One JSON object a line, for jq, pandas, DuckDB and one's own scripts. `type` says what a line is.

`recording` comes first, then `thread`, `stack` and `piece`: a piece is one thread in one state, and those of a thread
stand in the order of time. A thread and a stack stand before the first piece that refers to them; a lock's name is the
one that was known by then, its `lock_id` never changes. `counters`, `notice` and `end` come last. Times are seconds
since the first sample. Fields may be added, never changed or removed.
"""

from __future__ import annotations

import json
from typing import BinaryIO

from concview import __version__
from concview.analysis.samples import Activity, Blocker, SampledThread
from concview.exporters import _names
from concview.exporters._totals import nothing
from concview.exporters.base import Exporter, Request, remarks
from concview.session.recording import Recording

SCHEMA = 1
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CHUNK = 2000  #: lines that are written at once


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    samples = recording.samples(request.selection, request.side, gil_blockers=True, tasks=request.tasks)
    lines: list[str] = []
    threads: dict[SampledThread, int] = {}
    stacks: dict[int, int] = {}
    tails: dict[tuple[int, int], str] = {}
    begun = False

    def flush() -> None:
        out.write("".join(f"{line}\n" for line in lines).encode())
        lines.clear()

    def tail(activity: Activity, blocker: Blocker | None) -> str:
        """What is the same in every piece of this kind."""
        number = stacks.get(id(activity.stack))
        if number is None:
            number = stacks[id(activity.stack)] = len(stacks)
            frames = [
                {"function": _names.function(f), "file": f.file, "line": f.line, "origin": f.origin}
                for f in activity.stack.frames
            ]
            lines.append(_text({"type": "stack", "id": number, "frames": frames}))
        lock = activity.lock
        said: dict[str, object] = {
            "state": activity.word, "stack": number, "waits_for": activity.detail or None,
            "lock": lock.name if lock is not None else None, "lock_id": lock.key if lock is not None else None,
            "holds": [h.name for h in activity.held],
        }  # fmt: skip
        if activity.doing.work:
            said |= {"work": activity.doing.work, "query": activity.doing.inner or None}
        if blocker is not None:
            role = "waiter" if request.side == "holder" else "blocker"
            said |= {role: _names.thread(blocker.thread), f"{role}_tid": blocker.thread.tid}
            said["confidence"] = blocker.confidence.value
        return _text(said)[1:]

    for pieces in samples:
        if pieces and not begun:
            begun = True
            hello = samples.hello
            assert hello is not None
            lines.append(
                _text(
                    {
                        "type": "recording",
                        "schema": SCHEMA,
                        "concview": __version__,
                        "pid": hello.target.pid,
                        "python": hello.target.python,
                        "command": list(hello.target.command),
                        "engine": hello.engine,
                        "rate_hz": hello.rate_hz,
                        "side": request.side,
                        "epoch": round(hello.epoch + (samples.first_ns - hello.at_ns) / 1e9, 6),
                    }
                )
            )
        first = samples.first_ns
        for thread, start, end, activity, blocker, seen in pieces:
            if thread not in threads:
                threads[thread] = len(threads)
                lines.append(_thread(threads[thread], thread))
            key = (id(activity), id(blocker))
            rest = tails.get(key)
            if rest is None:
                rest = tails[key] = tail(activity, blocker)
            lines.append(
                f'{{"type":"piece","thread":{threads[thread]},"start":{(start - first) / 1e9:.6f},'
                f'"seconds":{(end - start) / 1e9:.6f},"samples":{seen},{rest}'
            )
        if len(lines) > _CHUNK:
            flush()
    if not begun:
        raise nothing(samples)
    first = samples.first_ns
    for c in samples.counters:
        lines.append(
            _text(
                {
                    "type": "counters",
                    "at": round((c.at_ns - first) / 1e9, 6),
                    "cpu_user_s": c.cpu_user_s,
                    "cpu_system_s": c.cpu_system_s,
                    "rss": c.rss,
                    "fds": c.fds,
                    "os_threads": c.os_threads,
                }
            )
        )
    lines += [
        _text({"type": "notice", "at": round((n.at_ns - first) / 1e9, 6), "level": n.level, "text": n.text})
        for n in samples.notices
    ]
    stats = samples.stats
    lines.append(
        _text(
            {
                "type": "end",
                "seconds": round(samples.seconds, 6),
                "samples": samples.ticks,
                "missed": stats.misses if stats is not None else None,
                "reason": samples.bye.reason if samples.bye else None,
                "broken": samples.broken or None,
                "not_kept_apart": samples.left_out,
                "gil_held_s": round(samples.gil_held_ns / 1e9, 6) if samples.gil_seen_ns else None,
            }
        )
    )
    flush()
    return remarks(samples)


def _thread(number: int, thread: SampledThread) -> str:
    return _text(
        {
            "type": "thread",
            "id": number,
            "tid": thread.tid,
            "name": _names.thread(thread),
            "native": thread.native,
        }
    )


EXPORTER = Exporter(
    "one JSON object a line, for jq, pandas, DuckDB", write, sides=True, suffix=".jsonl", together=True, tasks=True
)
