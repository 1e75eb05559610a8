"""Slices cut by in whose name they are, and counts by name since the beginning."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from concview.analysis import by_name
from concview.analysis.calltree import Slice
from concview.analysis.classify import Classification
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.work import NO_WORK, WorkHistory, routes
from concview.analysis.work_totals import IDLE_NS, OTHER, Totals
from concview.model import NO_WAIT, Frame, Label, Stack, State, Work, WorkItem, WorkKind

STACK = Stack((Frame("f", "app.py", 1),))
LABELS = {
    1: Label(WorkKind.REQUEST, "flask", "GET /a"),
    2: Label(WorkKind.REQUEST, "flask", "GET /b"),
    3: Label(WorkKind.QUERY, "sqlite3", "SELECT a FROM t"),
}


def _work(*reports: tuple[int, list[WorkItem]]) -> WorkHistory:
    work = WorkHistory()
    for at, items in reports:
        work.add(Work(at, tuple(items)), LABELS)
    return work


def _spent(slices: list[Slice]) -> int:
    return sum(s.end_ns - s.start_ns for s in slices)


def test_a_query_belongs_to_its_request() -> None:
    request, query = WorkItem(1, 1, 0, 0, (7,)), WorkItem(2, 3, 0, 0, (7,), inside=1)
    work = _work((10, [request]), (20, [request, query]), (30, [WorkItem(3, 2, 25, 0, (7,))]))
    slices = [Slice(7, STACK, 0, 40), Slice(8, STACK, 0, 40)]

    def spent(*patterns: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for one in by_name.cut(slices, work, 0, 40, patterns, named=True):
            found[one.stack.frames[-1].function] += one.end_ns - one.start_ns
        return found

    assert spent() == {"GET /a": 20, "GET /b": 10, NO_WORK: 10 + 40}
    assert spent("SELECT*") == {"GET /a": 10}
    assert spent("GET *") == {"GET /a": 20, "GET /b": 10}
    assert spent("GET") == {}
    bare = list(by_name.cut(slices, work, 0, 40, ("GET /b",), named=False))
    assert bare == [Slice(7, STACK, 30, 40)]


def test_tasks_have_names_of_their_own() -> None:
    work = _work((0, [WorkItem(1, 1, 0, 0, (7,), (70,)), WorkItem(2, 2, 0, 0, (), (80,))]))
    work.add(Work(9, ()), LABELS)
    found = by_name.cut([Slice(-80, STACK, 0, 5), Slice(80, STACK, 0, 5)], work, 0, 9, (), named=True)
    assert [one.stack.frames[-1].function for one in found] == ["GET /b", NO_WORK]


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.sets(st.sampled_from([1, 2]))), max_size=12),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=12),
)
def test_nothing_is_lost_or_counted_twice(reports: list[tuple[int, set[int]]], spans: list[tuple[int, int]]) -> None:
    work = _work(*[(at, [WorkItem(n, n, 0, 0, (n,)) for n in items]) for at, items in sorted(reports)])
    slices = [Slice(1 + i % 3, STACK, a, b) for i, (a, b) in enumerate(spans) if b > a]
    found = list(by_name.cut(slices, work, 0, 1000, (), named=True))
    assert _spent(found) == _spent(slices)
    # Names share out what is in somebody's.
    named = [s for s in found if s.stack.frames[-1].function != NO_WORK]
    parts = [list(by_name.cut(slices, work, 0, 1000, (p,), named=False)) for p in ("GET /a", "GET /[!a]")]
    assert sum(_spent(part) for part in parts) == _spent(named)


# ---------------------------------------------------------------- since the beginning


def _label(number: int) -> Label:
    return Label(WorkKind.QUERY, "psycopg", f"SELECT a FROM t{number}")


def _totals(totals: Totals, *reports: tuple[int, list[tuple[int, int]]], until: int) -> WorkHistory:
    """Reports of (id, number of its label)."""
    work = WorkHistory()
    for at, items in reports:
        told = tuple(WorkItem(id_, number, at, 0, (7,)) for id_, number in items)
        work.add(Work(at, told), {number: _label(number) for _, number in items})
    totals.follow(work, until, {})
    return work


def test_counters_grow_and_say_what_looks_saw() -> None:
    totals, work = Totals(), WorkHistory()
    for at, seen in ((10, {1: 10}), (30, {1: 10, 2: 30}), (50, {2: 30})):
        told = tuple(WorkItem(id_, 1, first, 0, (7,)) for id_, first in seen.items())
        work.add(Work(at, told), {1: _label(1)})
    totals.follow(work, 60, {})
    (total,) = totals.every()
    assert (total.seen, total.over, total.busy_ns) == (2, 1, 40 + 30)
    assert round(total.over_s * 1e9) == 40
    assert total.states[State.UNKNOWN] == 70  # no history of the thread was given
    totals.follow(work, 80, {})  # what has been counted is not counted again
    assert (total.seen, total.over, total.busy_ns) == (2, 1, 40 + 50)


def test_a_window_and_the_totals_agree() -> None:
    totals = Totals()
    work = _totals(totals, (10, [(1, 1), (3, 2)]), (30, [(2, 1)]), until=60)
    found = routes(work.between(0, 60), dict[int, ThreadHistory]())
    assert len(totals.every()) == 2
    for total in totals.every():
        route = found[total.kind, total.system, total.name]
        assert (total.seen, total.over, total.busy_ns) == (route.seen, len(route.ended), route.busy_ns)


def test_names_keep_their_places_and_the_rest_is_added_up() -> None:
    totals = Totals(most=2)
    _totals(totals, (10, [(1, 1), (2, 2), (3, 3), (4, 4)]), until=20)
    assert {t.name: t.seen for t in totals.every()} == {_label(1).name: 1, _label(2).name: 1, OTHER: 2}
    assert sum(t.busy_ns for t in totals.every()) == 40
    # Busier ones that come later do not push them out ...
    _totals(totals, (20, [(n, 5) for n in range(10, 20)]), until=30)
    assert _label(5).name not in {t.name for t in totals.every()}
    # ... before nothing was added to them for a long time; what is in flight is not forgotten.
    late = 30 + IDLE_NS
    _totals(totals, (late - 5, [(1, 1)]), (late, [(1, 1)]), (late + 10, [(1, 1), (30, 5)]), until=late + 20)
    assert {t.name for t in totals.every()} == {_label(1).name, _label(5).name, OTHER}


def test_only_names_that_were_asked_for_get_a_place() -> None:
    totals = Totals(("*FROM t1",))
    _totals(totals, (10, [(1, 1), (2, 2)]), until=20)
    assert {(t.name, t.system) for t in totals.every()} == {(_label(1).name, "psycopg"), (OTHER, "")}


def test_what_a_thread_did_is_over_when_it_has_ended() -> None:
    thread = ThreadHistory(7, "t", 0, 0, False)
    thread.change(0, Run(0, STACK, NO_WAIT, (), Classification(State.IO, "")))
    thread.end(30)
    item = WorkItem(1, 1, 10, 0, (7,))
    work = _work((10, [item]), (40, [item]), (50, []))  # the second one is late to know
    (route,) = routes(work.between(0, 60), {7: thread}).values()
    assert (route.seen, route.busy_ns, route.states[State.IO], sum(route.states)) == (1, 20, 20, 20)
    assert [round(s * 1e9) for s in route.ended] == [20]


def test_states_are_those_of_the_threads_meanwhile() -> None:
    thread = ThreadHistory(7, "t", 0, 0, False)
    for at, state in ((0, State.RUNNING), (30, State.IO)):
        thread.change(at, Run(at, STACK, NO_WAIT, (), Classification(state, "")))
    work = _work((10, [WorkItem(1, 1, 0, 0, (7,))]))
    (route,) = routes(work.between(0, 60), {7: thread}).values()
    assert (route.states[State.RUNNING], route.states[State.IO]) == (20, 30)
