"""What a window shares among rules: slices taken over from the window before, and the sums over them."""

from __future__ import annotations

from collections import Counter

from build import GIL, RUNNING, SLEEP, Scene, frame, holds, recv, site, waits_for

from concview.analysis.window import Slice, ThreadWindow, Window
from concview.model import State

WORK, QUERY = [frame("work", 7)], [frame("query", 9), frame("work", 8)]


def played(seconds: float, looked_at: list[Window] | None = None) -> Scene:
    """A thread that changes at every tick, one that changes seldom and one that never does."""
    scene = Scene(rules={})
    busy, slow, still = (scene.thread(name) for name in ("busy", "slow", "still"))
    scene.do(still, WORK, recv())
    conditions = [(WORK, RUNNING), (WORK, GIL), (QUERY, recv()), (QUERY, waits_for(0x10)), (WORK, SLEEP)]
    ticks = 0

    def step(at: float) -> None:
        nonlocal ticks
        ticks += 1
        scene.do(busy, *conditions[ticks % 5], held=holds(0x10, site()) if ticks % 7 == 0 else ())
        if ticks % 230 == 1:
            scene.do(slow, *conditions[ticks // 230 % 5])
        if looked_at is not None and ticks % 100 == 50:
            window = Window(scene.history)
            assert all(t.slices for t in window.threads)
            looked_at.append(window)

    scene.play(seconds, step)
    return scene


def cut(thread: ThreadWindow) -> list[tuple[int, int, int]]:
    return [(p.start_ns, p.end_ns, id(p.run)) for p in thread.slices]


def afresh(thread: ThreadWindow) -> list[tuple[int, int, int]]:
    """The same without anything from earlier windows."""
    thread.history.whole = None
    return cut(ThreadWindow(thread.history, thread.start_ns, thread.end_ns))


def test_a_window_after_others_is_as_one_made_afresh() -> None:
    before: list[Window] = []
    scene = played(14.3, before)
    assert len(before) >= 10
    for window in (Window(scene.history), Window(scene.history, 3_000_000_000), Window(scene.history)):
        for thread in window.threads:
            taken = cut(thread)
            assert taken == afresh(thread)
            assert taken[0][0] == window.start_ns
            assert taken[-1][1] == window.end_ns


def test_an_older_window_stays_what_it_was() -> None:
    scene = played(11)
    older = Window(scene.history)
    scene.play(2)
    assert all(t.slices for t in Window(scene.history).threads)
    for thread in older.threads:
        assert cut(thread) == afresh(thread)
        assert thread.slices[-1].end_ns == older.end_ns


def test_wait_profiles_are_the_sums_of_slices() -> None:
    busy, slow, still = Window(played(12).history).threads
    for thread in (busy, slow, still):
        seen = Counter[tuple[int, int]]()
        spent = Counter[tuple[int, int]]()
        for slice_ in thread.slices:
            seen[id(slice_.run.stack), id(slice_.run.wait)] += 1
            spent[id(slice_.run.stack), id(slice_.run.wait)] += slice_.ns
        assert {(id(c.stack), id(c.wait)): c.times for c in thread.wait_profiles} == seen
        assert {(id(c.stack), id(c.wait)): c.ns for c in thread.wait_profiles} == spent
        assert all(c.state is c.classification.state for c in thread.wait_profiles)
    assert len(busy.wait_profiles) == 5
    for thread in (busy, slow, still):
        assert [(s, id(p.stack), id(p.wait)) for s, p in thread.profiled] == [
            (s, id(s.run.stack), id(s.run.wait)) for s in thread.slices
        ]
        assert thread.locking == [s for s in thread.slices if s.run.holds or s.run.state is State.LOCK]
    assert busy.locking and not still.locking


def test_pieces_of_some_conditions_come_in_their_order() -> None:
    busy, _, still = Window(played(12).history).threads
    found: list[tuple[Slice, str]] = list(busy.slices_of(lambda c: "io" if c.state is State.IO else None))
    assert [p for p, _ in found] == [p for p in busy.slices if p.run.state is State.IO]
    assert {word for _, word in found} == {"io"}
    several = busy.slices_of(lambda c: c.state.name if c.state in (State.IO, State.GIL) else None)
    assert list(several) == [(p, p.run.state.name) for p in busy.slices if p.run.state in (State.IO, State.GIL)]
    assert list(still.slices_of(lambda c: c.state is State.RUNNING or None)) == []
    assert (busy.episodes(State.IO), still.episodes(State.GIL)) == (len(found), 0)
