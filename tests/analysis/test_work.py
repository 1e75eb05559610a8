"""Work in progress, folded from made-up events: ages, parts, names over a window, and looking back."""

from __future__ import annotations

from concview.analysis.history import History
from concview.analysis.work import routes
from concview.model import (
    Forget,
    Hello,
    Label,
    LabelDef,
    StackDef,
    Target,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
    Work,
    WorkItem,
    WorkKind,
)
from concview.session.work import WorkComposer, age_words, inmost, title

MS = 1_000_000
ORDERS = Label(WorkKind.REQUEST, "flask", "GET /orders/<id>")
SQL = Label(WorkKind.QUERY, "sqlite3", "SELECT a FROM t")
BARE = Label(WorkKind.REQUEST, "http.server", "GET", "route")


def _history() -> History:
    history = History()
    history.apply(Hello(3, "0", Target(1, "3.12.0", ("x",), 0.0), "direct", 100.0, 5.0, 0, 0.0, {}, "safe"))
    for event in (
        StackDef(1, ()), WaitDef(2, Wait(WaitKind.SLEEP, "nanosleep")), ThreadDef(7, "worker"),
        LabelDef(11, ORDERS), LabelDef(12, SQL), LabelDef(13, BARE),
        Tick(1, 0, 0, False, (7, 1, 2, 0)),
    ):  # fmt: skip
        history.apply(event)
    return history


def _tick(history: History, at_ms: int) -> None:
    history.apply(Tick(at_ms * MS, 10 * MS, 0, False, ()))


def test_names_over_a_window() -> None:
    history = _history()
    request = WorkItem(1, 11, 100 * MS, 50 * MS, (7,))
    history.apply(Work(200 * MS, (request, WorkItem(2, 12, 150 * MS, 0, (7,), inside=1))))
    history.apply(Work(400 * MS, (request,)))
    history.apply(Work(600 * MS, (WorkItem(3, 11, 550 * MS, 0, (7,)), WorkItem(4, 13, 560 * MS, 0, (), (9,)))))
    _tick(history, 1000)
    found = routes(history.work.between(0, history.now_ns), history.threads)
    orders = found[WorkKind.REQUEST, "flask", "GET /orders/<id>"]
    assert (orders.seen, orders.busy_ns) == (2, 800 * MS)
    # From the beginning that was read to the report that no longer had it.
    assert orders.ended == [0.55] and orders.exact == 1
    sql = found[WorkKind.QUERY, "sqlite3", "SELECT a FROM t"]
    assert sql.ended == [0.25] and sql.exact == 0
    bare = found[WorkKind.REQUEST, "http.server", "GET"]
    assert (bare.tasks_ns, sum(bare.states), bare.ended) == (400 * MS, 0, [])


def test_what_is_unknown_has_not_ended() -> None:
    history = _history()
    history.apply(Work(200 * MS, (WorkItem(1, 11, 100 * MS, 0, (7,)),)))
    history.apply(Work(400 * MS, (), unknown=1))
    _tick(history, 1000)
    (route,) = routes(history.work.between(0, history.now_ns), history.threads).values()
    assert route.ended == []


def test_labels_survive_a_forget() -> None:
    history = _history()
    history.apply(Work(200 * MS, (WorkItem(1, 11, 100 * MS, 0, (7,)),)))
    history.apply(Forget(300 * MS))
    assert history.work.now is not None and history.work.now.pieces[0].label is ORDERS
    # An item whose label is void is left out, not shown under another name.
    history.apply(Work(400 * MS, (WorkItem(1, 11, 100 * MS, 0, (7,)),)))
    assert history.work.now.pieces == ()


def test_views() -> None:
    history = _history()
    history.apply(
        Work(
            200 * MS,
            (
                WorkItem(1, 11, 100 * MS, 50 * MS, (7,)),
                WorkItem(2, 12, 150 * MS, 0, (7,), inside=1),
                WorkItem(4, 13, 160 * MS, 0, (), (9,), before=True),
            ),
        )
    )
    _tick(history, 1050)
    work = WorkComposer().compose(history, 10_000 * MS, ())
    assert work is not None and work.mode == "safe"
    request, query, bare = work.now
    assert (request.age_s, request.exact, request.parts) == (1.0, True, (2,))
    assert age_words(request) == "1.0 s" and age_words(query) == "first seen 900 ms ago"
    assert age_words(bare) == "more than 890 ms" and title(bare) == "GET (route not known)"
    assert inmost(request, {w.id: w for w in work.now}) is query


def test_a_stream_without_work_has_none() -> None:
    assert WorkComposer().compose(_history(), 10_000 * MS, ()) is None
