"""A collection of garbage stops the dashboard: what there are a hundred thousand of must not be looked at by it."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from concview import codec
from concview.analysis.history import History
from concview.analysis.window import Window
from concview.model import NO_WAIT, AnyEvent, Frame, FrameDef, Hello, StackDef, Target, ThreadDef, Tick, WaitDef

TICKS, THREADS = 2_000, 4


def _stream() -> list[AnyEvent]:
    """Every thread changes between two stacks at every tick."""
    target = Target(1, "3.13.0", ("x",), 0.0)
    events: list[AnyEvent] = [
        Hello(2, "0", target, "direct", 100.0, 5.0, 1, 0.0, {}),
        FrameDef(1, Frame("f", "f.py", 1)), FrameDef(2, Frame("g", "f.py", 2)),
        StackDef(1, (1,)), StackDef(2, (2,)), WaitDef(1, NO_WAIT),
        *(ThreadDef(t, f"t{t}") for t in range(1, THREADS + 1)),
    ]  # fmt: skip
    for i in range(TICKS):
        changes = tuple(v for t in range(1, THREADS + 1) for v in (t, 1 + i % 2, 1, 0))
        events.append(Tick(10_000_000 * (i + 1), 10_000_000, 1, False, changes))
    return events


@pytest.mark.parametrize("looked", [False, True], ids=["kept", "in a window"])
def test_samples_are_nothing_to_the_collector(looked: bool) -> None:
    events = codec.decode_payload(codec.encode_events(_stream()))
    gc.collect()
    before = {id(o) for o in gc.get_objects()}
    history = History()
    for event in events:
        history.apply(event)
    window = Window(history) if looked else None
    slices = sum(1 for _ in window.slices()) if window is not None else 0
    gc.collect()  # a tuple of numbers is let off when it is first looked at
    fresh = [o for o in gc.get_objects() if id(o) not in before]
    assert sum(len(t.runs) for t in history.threads.values()) == TICKS * THREADS
    assert not looked or slices > TICKS
    assert len(fresh) < 300, Counter(type(o).__name__ for o in fresh).most_common(5)
