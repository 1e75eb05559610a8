"""What a session keeps does not grow with the time that a program is watched, however many threads come and go."""

from __future__ import annotations

import gc
import types
from collections import Counter, deque
from pathlib import Path

from concview import codec
from concview.model import (
    CAPABILITIES,
    Bye,
    Capability,
    Counters,
    Event,
    Frame,
    FrameDef,
    Hello,
    HoldsDef,
    StackDef,
    Stats,
    Switches,
    Target,
    ThreadCounters,
    ThreadDef,
    ThreadGone,
    ThreadSwitches,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.session import FileSource
from concview.session.session import Session

S = 1_000_000_000
START_NS = 1_000 * S
MINUTES = 46
#: The most that is kept is 1,200 pictures and 1,200 counts of the process: twenty minutes, with one of each a second.
#: All is full then, and what is kept stays within 1.5 % whenever it is counted.
FULL_S, END_S = 22 * 60, 60 * MINUTES
#: Less than one object more for each thread that came and went in between.
MOST_GROWN = 1.05
#: Not what is kept: code, and what all sessions share.
_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, types.FrameType)


def churn(path: Path) -> Path:
    """Four threads a second are born, wait for a lock of their own at a place of their own, and end."""
    capable = {name: Capability(True) for name in CAPABILITIES if name not in ("agent", "calls")}
    target = Target(7, "3.12.1", ("/usr/bin/python3", "/srv/app.py"), 1.7e9)
    with path.open("wb") as out:
        writer = codec.Writer(out)
        head: list[Event] = [
            Hello(codec.STREAM_VERSION, "0", target, "direct", 5, 5, START_NS, 1.7e9, capable),
            HoldsDef(1, ()),
            ThreadDef(7, "MainThread"),
        ]
        for event in head:
            writer.add(event)
        number, alive = 100, deque[int]()
        for tick in range(1, 4 * 60 * MINUTES):
            at, number = START_NS + tick * S // 4, number + 1
            # Numbers of threads, places and locks come again: all are known after ten minutes.
            tid, place = 1000 + number % 2000, number % 2400
            defined = [
                FrameDef(place, Frame(f"work_{place}", f"/srv/job_{place % 50}.py", place)),
                StackDef(place, (place,)),
                WaitDef(place, Wait(WaitKind.FUTEX, "futex", lock=0x7F00_0000_0000 + 64 * place, lock_kind="Lock")),
            ]
            for event in [*defined, ThreadDef(tid, f"job-{number}", at)]:
                writer.add(event)
            alive.append(tid)
            writer.add(Tick(at, S // 4, 0, False, (tid, place, place, 0)))
            if len(alive) > 8:
                writer.add(ThreadGone(alive.popleft(), at))
            if tick % 4 == 0:
                counters = tuple(ThreadCounters(t, tick, 0, tick, 0) for t in alive)
                writer.add(Counters(at, tick / 1e3, 0.0, 10**8, 20, len(alive), counters))
                each = tuple(ThreadSwitches(t, 1, 1, S, S, 0, 0, (10, 1), ()) for t in alive)
                writer.add(Switches(at, at - S, each, 4, 0))
                writer.add(Stats(at, tick, 0, 0, 0, 0, 4, 4, 1.0))
                writer.flush()
        writer.add(Bye(at, "stopped"))
        writer.flush()
    return path


def kept(root: object) -> tuple[int, Counter[str]]:
    """Number of objects that can be reached, and by type."""
    seen: dict[int, object] = {id(root): root}
    stack, kinds = [root], Counter[str]()
    while stack:
        one = stack.pop()
        kinds[type(one).__name__] += 1
        for each in gc.get_referents(one):
            if id(each) not in seen and not isinstance(each, _CODE):
                seen[id(each)] = each
                stack.append(each)
    return len(seen), kinds


def test_what_is_kept_does_not_grow_with_time(tmp_path: Path) -> None:
    source = FileSource(churn(tmp_path / "r"), 0.0)
    session = Session(source, {}, blamed_every_s=30, composed_every_s=30)
    session.slow_down(30)
    session.start()
    session.wait(FULL_S)
    with session._history_lock:
        full, first = kept(session)
    session.wait(END_S)
    with session._history_lock:
        end, last = kept(session)
    at_s = (session.history.now_ns - session.history.first_ns) / 1e9
    session.close()
    assert at_s > END_S - 60
    grown = {kind: (first[kind], number) for kind, number in last.items() if number > 1.2 * first[kind] + 200}
    assert end < MOST_GROWN * full, (full, end, grown)
