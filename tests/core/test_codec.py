"""The stream: what is written is read again, and what is damaged is said to be, never guessed."""

import io
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concview import codec
from concview.model import (
    AsyncObject,
    AsyncObjects,
    Bye,
    Capability,
    Confidence,
    Counters,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Loops,
    LoopState,
    Outcome,
    Peer,
    Site,
    StackDef,
    Target,
    TaskDef,
    TasksGone,
    TaskState,
    TaskTick,
    TaskWait,
    TaskWaitDef,
    ThreadCounters,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.model.stream import TAGS

TARGET = Target(7, "3.13.0", ("python", "x.py"), 1.5)
SITE = Site("self._lock", "cache.py", 41, "Cache.get", "cache.py::Cache")
EVENTS = [
    Hello(codec.STREAM_VERSION, "0.1", TARGET, "direct", 100.0, 5.0, 10, 2.0, {"gil": Capability(True)}),
    FrameDef(1, Frame("f", "x.py", 3, "with a:", "user", (SITE,), SITE)),
    StackDef(2, (1, 1), True),
    WaitDef(3, Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "127.0.0.1:5432"), True)),
    HoldsDef(4, (Hold(140, "Lock", SITE, Confidence.EXACT),)),
    ThreadDef(9, "worker", 5),
    Tick(11, 1, 9, False, (9, 2, 3, 4)),
    Tick(12, 1, 9, False, (), 77),
    Counters(12, 1.0, 0.5, 1 << 30, 10, 2, (ThreadCounters(9, 1, 2, 3, 4),)),
    TaskDef(1, "Task-1", 1, 99, 11),
    TaskWaitDef(5, TaskWait(TaskState.IO, "StreamReader.read", peer=Peer("tcp", "127.0.0.1:5432"))),
    TaskTick(12, 1, (1, 2, 5, 4, 11, 0), (1, 2, 1, 7), 2, 1, 3),
    TasksGone(12, (1, Outcome.FAILED)),
    Loops(12, 1, (LoopState(99, "asyncio", 9, True, 1, 0),), born=3, unseen=("greenlets",)),
    AsyncObjects(12, (AsyncObject(140, "Pool", "pool", "asyncpg", 10, 10, 3, (1,)),)),
    Bye(13, "exited"),
]


def stream(*blocks: list[Any]) -> bytes:
    out = io.BytesIO()
    writer = codec.Writer(out)
    for block in blocks:
        for event in block:
            writer.add(event)
        writer.flush()
    return out.getvalue()


def read(data: bytes) -> list[Any]:
    return [e for block in codec.read_blocks(io.BytesIO(data)) for e in block]


def test_round_trip() -> None:
    assert read(stream(EVENTS[:1], EVENTS[1:])) == EVENTS


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"CONCVIEW", b"CONCVIEW" + b"\xff" * 40, b"PK\x03\x04zip"])
def test_not_a_recording(data: bytes) -> None:
    with pytest.raises(codec.StreamError):
        read(data)


def test_cut_off_is_readable_up_to_the_last_whole_block() -> None:
    """Wherever it is cut, also between two blocks: that is said."""
    whole = stream(EVENTS[:2], EVENTS[2:5], EVENTS[5:])
    for cut in range(len(stream(EVENTS[:2])), len(whole)):
        got = []
        with pytest.raises(codec.Damaged):
            for block in codec.read_blocks(io.BytesIO(whole[:cut])):
                got += block
        assert got in (EVENTS[:2], EVENTS[:5])


@given(st.binary(max_size=400), st.integers(0, 300), st.binary(min_size=1, max_size=8))
@settings(max_examples=200)
def test_damage_never_gives_anything_but_a_stream_error(noise: bytes, at: int, patch: bytes) -> None:
    whole = bytearray(stream(EVENTS[:1], EVENTS[1:]))
    whole[at : at + len(patch)] = patch
    for data in (bytes(whole), b"CONCVIEW" + noise):
        try:
            read(data)
        except codec.StreamError as error:
            assert str(error)


def test_another_version_is_refused_by_name() -> None:
    hello = Hello(99, "9.9", TARGET, "direct", 1.0, 1.0, 1, 1.0, {})
    with pytest.raises(codec.StreamError, match="version 99"):
        read(stream([hello]))


def test_a_huge_block_is_not_allocated() -> None:
    data = stream(EVENTS[:1]) + codec._HEADER.pack(codec._MARKER, 1 << 31, 0)
    with pytest.raises(codec.Damaged, match="damaged"):
        read(data)


def test_strings_of_a_recording_are_cleaned() -> None:
    """A crafted file is as hostile as a target."""
    evil = "\x1b]0;x\x07[/red]"
    events = [
        *EVENTS[:1],
        FrameDef(1, Frame(evil, evil, 1, evil, "user", (Site(evil, evil, 1, evil),))),
        ThreadDef(1, evil),
        WaitDef(1, Wait(WaitKind.IO, evil, 1, Peer("tcp", evil))),
        Bye(1, "exited", evil),
    ]
    frame, thread, wait, bye = read(stream(events))[1:]
    shown = [frame.frame.function, frame.frame.text, frame.frame.holds[0].expression, thread.name, bye.text]
    assert {*shown, wait.wait.syscall, wait.wait.peer.name} == {"\\x1b]0;x\\x07[/red]"}


def holds_text(hint: object) -> bool:
    if hint is str:
        return True
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return any(map(holds_text, typing.get_type_hints(hint).values()))
    return any(map(holds_text, typing.get_args(hint)))


@pytest.mark.parametrize("kind", TAGS.values(), ids=lambda kind: kind.__name__)
def test_every_field_with_text_is_looked_at(kind: type[msgspec.Struct]) -> None:
    hints = typing.get_type_hints(kind)
    assert set(codec._texts(kind)) == {name for name in kind.__struct_fields__ if holds_text(hints[name])}
