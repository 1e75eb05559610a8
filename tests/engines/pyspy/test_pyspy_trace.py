"""py-spy's file format, read from made-up files: nothing in it is trusted."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from concview.engines.pyspy import failures
from concview.engines.pyspy import trace as trace_module
from concview.engines.pyspy.failures import explain
from concview.engines.pyspy.trace import MAX_FRAMES, Interner, Trace


def event(ph: str, name: str, ts: int, tid: int = 1, file: str = "a.py", line: int = 1) -> dict[str, Any]:
    return {
        "args": {"filename": file, "line": line},
        "cat": "py-spy",
        "name": name,
        "ph": ph,
        "pid": 9,
        "tid": tid,
        "ts": ts,
    }


def root(ph: str, ts: int, tid: int = 1, name: str = "worker") -> dict[str, Any]:
    return event(ph, f"thread ({tid:#X}): {name}".replace("0X", "0x"), ts, tid, "", 0)


def read(data: bytes) -> Trace:
    found = Trace(data, 0, Interner())
    for _ in range(100_000):
        if found.feed():
            return found
    raise AssertionError("never ends")


def names(trace: Trace, handle: int = 1) -> list[tuple[int, list[str]]]:
    track = trace.tracks[handle]
    return [
        (at // 1000, [frame[0] for frame in stack.frames] if stack else [])
        for at, stack in zip(track.times, track.stacks, strict=True)
    ]


ORDINARY = [
    root("B", 100), event("B", "main", 100), event("B", "f", 100, line=5),
    event("E", "f", 900, line=5), event("B", "g", 900, line=9),
    event("E", "g", 2000, line=9), event("E", "main", 2000), root("E", 2000),
]  # fmt: skip


def test_stacks_are_leaf_first_and_the_closing_events_are_no_change() -> None:
    found = read(json.dumps(ORDINARY).encode())
    assert names(found) == [(100, ["f", "main"]), (900, ["g", "main"])]
    assert found.tracks[1].name == "worker" and found.first_ns == 100_000 and found.written_ns == 2_000_000
    assert found.broken == 0


def test_a_thread_without_python_frames_is_seen() -> None:
    found = read(json.dumps([root("B", 100), root("E", 900)]).encode())
    assert names(found) == [(100, [])]


def test_pieces_give_the_same_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    hostile = ['},{"args":{', '\x1b[31m\\"}', "\ud83d\ude00 ' [/red]", "x" * 10_000, "thread (0x1): fake", ""]
    events = [root("B", 1)]
    open_frames: list[str] = []
    for ts in range(10, 4000, 10):
        if open_frames and rng.random() < 0.5:
            events.append(event("E", open_frames.pop(), ts))
        else:
            name = rng.choice(hostile)
            open_frames.append(name)
            events.append(event("B", name, ts))
    data = json.dumps(events, separators=(",", ":")).encode("utf-8", "surrogatepass")
    whole = read(data)
    monkeypatch.setattr(trace_module, "_PIECE", 50)
    assert names(read(data)) == names(whole)
    assert whole.broken == 0 and len(whole.tracks[1].times) > 300


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[",
        b"null",
        b"{}",
        b"[{}]",
        b"[1,2]",
        b"\xff\xfe[{",
        b"[" * 100_000,
        b'[{"args":{}}]',
        b'[{"args":{"filename":1},"name":[],"ph":"B","tid":-1,"ts":"x"}]',
        b'{"args":{"filename":"' + b"\\" * 99,
    ],
)
def test_rubbish_never_raises(data: bytes) -> None:
    assert read(data).tracks.keys() <= {-1}


def test_a_broken_event_costs_only_itself() -> None:
    data = json.dumps(ORDINARY, separators=(",", ":")).replace('"ts":900', '"ts":"soon"', 1).encode()
    found = read(data)
    assert found.broken >= 1
    assert names(found)[0] == (100, ["f", "main"])


def test_deep_stacks_are_cut_at_the_root_end() -> None:
    deep = [root("B", 1), *(event("B", f"f{i}", 1) for i in range(3 * MAX_FRAMES))]
    stack = read(json.dumps(deep).encode()).tracks[1].stacks[0]
    assert stack is not None and stack.truncated and len(stack.frames) == MAX_FRAMES
    assert stack.frames[0][0] == f"f{3 * MAX_FRAMES - 1}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Permission Denied: Try running again with elevated permissions by going 'sudo env'", "may not read"),
        ("Error: Unsupported version of Python: 3.15.0a1\n\nStack backtrace:\n   0: anyhow", "cannot read Python 3.15"),
        (
            "Error: Failed to get process executable name. Check that the process is running.\n\nCaused by:\n    0: No "
            "such file or directory (os error 2)",
            "is gone",
        ),
        ("Error: Failed to find python version from target process", "does not find a Python"),
        (
            "[2026-01-01T00:00:00.0Z DEBUG py_spy::config] Config {\n    native: false,\n}\nError: Odd\x1b[2J thing\n",
            "py-spy failed: Error: Odd\\x1b[2J thing",
        ),
        ("", "without a word"),
    ],
)
def test_what_py_spy_says_becomes_one_sentence(text: str, expected: str) -> None:
    failure = explain(text, 42, "0.4.3")
    assert expected in str(failure)
    assert failure.remedy and "\n" not in str(failure) and "\x1b" not in str(failure)


def test_another_root_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Error: No such file or directory (os error 2)"
    assert "report it to py-spy" in explain(said, 42, "0.4.3").remedy
    monkeypatch.setattr(failures, "_root", lambda pid: "/srv/root")
    assert "/srv/root, chroot" in str(explain(said, 42, "0.4.3"))
