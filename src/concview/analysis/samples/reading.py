"""A recording's blocks, decoded as far as samples need them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from concview import codec
from concview.model import (
    AnyEvent,
    Forget,
    FrameDef,
    HoldsDef,
    LabelDef,
    NativeWaits,
    Notice,
    StackDef,
    Stats,
    ThreadDef,
    ThreadGone,
    Tick,
    WaitDef,
    Work,
)


class ProcessCounters(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The first fields of `model.Counters`: the process's own, without those of its threads."""

    at_ns: int
    cpu_user_s: float
    cpu_system_s: float
    rss: int
    fds: int
    os_threads: int


_lean: list[object] = []


def read(source: codec.Readable, of: int = 0) -> Iterator[list[AnyEvent]]:
    """The blocks of a recording (`of`: of one process among several) with the events that `Samples` looks at, and
    placeholders for the others. Raises as `codec.read_blocks` does."""
    if not _lean:
        wanted = (
            Tick, FrameDef, StackDef, WaitDef, HoldsDef, ThreadDef, ThreadGone, Forget, Notice, Stats, ProcessCounters,
            LabelDef, Work, NativeWaits,
        )  # fmt: skip
        _lean.append(codec.lean_decoder(wanted))
    return codec.read_blocks(source, _lean[0], of)  # type: ignore[arg-type]
