"""Work in progress, folded from made-up events: ages, parts, names over a window, and looking back."""

from __future__ import annotations

from concview.analysis.blame.tracker import Ahead, Told
from concview.analysis.history import History
from concview.analysis.served import Names, words
from concview.analysis.work import routes
from concview.analysis.work_totals import Totals
from concview.model import (
    Capability,
    Forget,
    Frame,
    FrameDef,
    Hello,
    Label,
    LabelDef,
    Link,
    Links,
    Served,
    StackDef,
    State,
    Target,
    TaskDef,
    TaskLink,
    TasksGone,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
    Work,
    WorkItem,
    WorkKind,
)
from concview.session.work import WorkComposer, age_words, inmost, title, why_none, without_route
from concview.snapshot import Snapshot, Status, WorkSummary

MS = 1_000_000
ORDERS = Label(WorkKind.REQUEST, "flask", "GET /orders/<id>")
SQL = Label(WorkKind.QUERY, "sqlite3", "SELECT a FROM t")
BARE = Label(WorkKind.REQUEST, "http.server", "GET", "route")


def _history() -> History:
    history = History()
    history.apply(Hello(3, "0", Target(1, "3.12.0", ("x",), 0.0), "direct", 100.0, 5.0, 0, 0.0, {}, "safe"))
    for event in (
        StackDef(1, ()),
        WaitDef(2, Wait(WaitKind.SLEEP, "nanosleep")),
        ThreadDef(7, "worker"),
        LabelDef(11, ORDERS),
        LabelDef(12, SQL),
        LabelDef(13, BARE),
        Tick(1, 0, 0, False, (7, 1, 2, 0)),
    ):
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


def test_a_worker_that_waits_for_more_work_has_ended_its_last() -> None:
    history = _history()
    history.apply(FrameDef(31, Frame("_worker", "concurrent/futures/thread.py", 81, origin="stdlib")))
    history.apply(StackDef(2, (31,)))
    history.apply(WaitDef(3, Wait(WaitKind.FUTEX, "futex")))
    request = WorkItem(1, 11, 100 * MS, 100 * MS, (7,))
    history.apply(Work(200 * MS, (request,)))
    history.apply(Tick(250 * MS, 10 * MS, 0, False, (7, 2, 3, 0)))
    history.apply(Work(400 * MS, ()))
    _tick(history, 1000)
    assert history.threads[7].runs[-1].state is State.IDLE
    whole = routes(history.work.between(0, history.now_ns), history.threads)[WorkKind.REQUEST, "flask", ORDERS.name]
    assert whole.ended == [0.14] and whole.busy_ns == 40 * MS and whole.states[State.IDLE] == 0
    # The same where a report is told of in parts.
    totals = Totals()
    for now in (230, 300, 350, 500, 1000):
        totals.follow(history.work, now * MS, history.threads)
    (total,) = totals.every()
    assert (total.over, total.busy_ns, total.states[State.IDLE]) == (1, 40 * MS, 0) and round(total.over_s, 3) == 0.14


def test_work_of_tasks_ends_with_them() -> None:
    history = _history()
    history.apply(TaskDef(9, "Task-9", 0, 1))
    history.apply(Work(200 * MS, (WorkItem(1, 11, 100 * MS, 100 * MS, (7,), (9,)),)))
    history.apply(TasksGone(260 * MS, (9, 0)))
    history.apply(Work(1000 * MS, ()))
    _tick(history, 2000)
    (route,) = routes(history.work.between(0, history.now_ns), history.threads, history.aio.find).values()
    assert route.ended == [0.16] and route.busy_ns == 60 * MS


def test_what_was_unknown_and_comes_again_is_the_same_and_what_does_not_ended_then() -> None:
    history = _history()
    one, two = WorkItem(1, 11, 100 * MS, 0, (7,)), WorkItem(2, 12, 100 * MS, 0, (7,))
    history.apply(Work(200 * MS, (one, two)))
    history.apply(Work(400 * MS, (), unknown=2))
    history.apply(Work(600 * MS, (one,)))
    history.apply(Work(800 * MS, ()))
    _tick(history, 1000)
    found = {r.name: r for r in routes(history.work.between(0, history.now_ns), history.threads).values()}
    assert [(r.seen, r.ended) for r in (found[ORDERS.name], found[SQL.name])] == [(1, [0.7]), (1, [0.3])]
    # Too long unknown: neither how long it lasted nor that it ended is known.
    history = _history()
    history.apply(Work(200 * MS, (one,)))
    for at in range(400, 3400, 200):
        history.apply(Work(at * MS, (), unknown=1 + at % 400 // 200))
    history.apply(Work(3400 * MS, ()))
    _tick(history, 3500)
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
    work = WorkComposer().compose(history, 10_000 * MS, (), {})
    assert work is not None and work.mode == "safe"
    request, query, bare = work.now
    assert (request.age_s, request.exact, request.parts) == (1.0, True, (2,))
    assert age_words(request) == "1.0 s" and age_words(query) == "first seen 900 ms ago"
    assert age_words(bare) == "more than 890 ms" and title(bare) == "GET (route not known)"
    assert inmost(request, {w.id: w for w in work.now}) is query


def test_a_statement_that_is_executed_again_and_again_is_no_long_query() -> None:
    """What was read of it is the same each time; the connection tells when it was sent."""
    history = _history()
    items = (
        WorkItem(1, 12, 100 * MS, 0, (7,), before=True), WorkItem(2, 12, 100 * MS, 0, (8,), before=True),
        WorkItem(3, 11, 100 * MS, 0, (9,), before=True),
    )  # fmt: skip
    history.apply(Work(200 * MS, items))
    often, once, request = (
        Link(fd, "tcp", (tid,), fd, True, sent_ns=sent * MS, came_ns=900 * MS)
        for fd, tid, sent in ((4, 7, 1000), (5, 8, 90), (6, 9, 1000))
    )
    history.apply(Links(1040 * MS, (often, once, request)))
    _tick(history, 1050)
    work = WorkComposer().compose(history, 10_000 * MS, (), {})
    assert work is not None
    said = [(w.id, age_words(w)) for w in work.now]
    assert said == [(2, "more than 950 ms"), (3, "more than 950 ms"), (1, "first seen 50 ms ago")]


def test_so_it_is_of_tasks() -> None:
    """And the list begins with the oldest by what was sent, not by what was seen."""
    history = _history()
    items = (WorkItem(1, 12, 90 * MS, 0, (), (8,), before=True), WorkItem(2, 12, 100 * MS, 0, (), (9,), before=True))
    history.apply(Work(200 * MS, items))
    history.apply(Links(1040 * MS, (), tasks=(TaskLink(8, 1000 * MS, 900 * MS), TaskLink(9, 80 * MS, 0))))
    _tick(history, 1050)
    work = WorkComposer().compose(history, 10_000 * MS, (), {})
    assert work is not None
    assert [(w.id, age_words(w)) for w in work.now] == [(2, "more than 950 ms"), (1, "first seen 50 ms ago")]


def test_a_stream_without_work_has_none() -> None:
    assert WorkComposer().compose(_history(), 10_000 * MS, (), {}) is None


REPORTS = Label(WorkKind.REQUEST, "flask", "POST /reports")


def _waiting(told: dict[int, Told]) -> WorkSummary:
    """A request and its query in thread 7, two requests in 8 and 9, one that a task does."""
    history = _history()
    for tid in (8, 9):
        history.apply(ThreadDef(tid, f"web-{tid}"))
    history.apply(LabelDef(14, REPORTS))
    items = (
        WorkItem(1, 14, 100 * MS, 50 * MS, (7,)), WorkItem(2, 12, 150 * MS, 0, (7,), inside=1),
        WorkItem(3, 11, 160 * MS, 0, (8,)), WorkItem(4, 11, 170 * MS, 0, (9,)), WorkItem(5, 13, 180 * MS, 0, (), (6,)),
    )  # fmt: skip
    history.apply(Work(200 * MS, items))
    _tick(history, 1150)
    work = WorkComposer().compose(history, 10_000 * MS, (), told)
    assert work is not None
    return work


def test_a_wait_is_followed_to_the_work_in_its_way() -> None:
    way = (Ahead("pool, of which all are out", "had by", (7,)),)
    work = _waiting({8: Told(way=way, end="waits for tcp 10.0.0.5:5432 (db.py:7)")})
    request = next(w for w in work.now if w.id == 3)
    assert request.because == (
        "waits for pool, of which all are out, had by POST /reports, which has run SELECT a FROM t for at least 1.0 s: "
        "waits for tcp 10.0.0.5:5432 (db.py:7)"
    )
    assert request.behind == (1,)
    assert all(not w.because and not w.behind for w in work.now if w.id != 3)


def test_a_wait_behind_a_wait_and_several_that_have_it() -> None:
    way = (Ahead("self._lock", "held by", (8, 9, 99)), Ahead("pool", "had by", (7,)))
    work = _waiting({-6: Told(way=way, end="runs")})
    task = next(w for w in work.now if w.id == 5)
    assert task.because == (
        "waits for self._lock, held by 2 x GET /orders/<id> and tid 99, which waits for pool, had by POST /reports, "
        "which has run SELECT a FROM t for at least 1.0 s: runs"
    )
    assert task.behind == (3, 1)


def _empty(able: Capability | None, work: WorkSummary | None) -> str:
    capabilities = {} if able is None else {"labels": able}
    return why_none(
        Snapshot(Status.LIVE, target=Target(1, "3.12.0", ("x",), 0.0), capabilities=capabilities, work=work)
    )


def test_why_there_is_none_says_what_would_enable_it() -> None:
    assert "record again" in _empty(None, None)
    assert _empty(Capability(False, "labels are off", "--labels safe"), None).endswith("labels are off; --labels safe")
    assert "are being looked for" in _empty(Capability(True), None)
    seen = _empty(Capability(True), WorkSummary("safe", looked=5, systems=("flask", "gunicorn")))
    assert "5 threads and tasks looked at" in seen and "flask and gunicorn" in seen
    assert "known" in _empty(Capability(True), WorkSummary("safe", looked=1))
    assert "greenlets" in _empty(Capability(True), WorkSummary("safe", looked=1, systems=("gevent",)))
    assert "went on" in _empty(Capability(True), WorkSummary("safe", looked=3, unknown=2))
    assert _empty(Capability(True), _waiting({})) == ""


def test_a_route_that_is_not_known_says_what_shows_the_path() -> None:
    work = _waiting({})
    assert "--labels full" in without_route(work.now, "safe") and not without_route(work.now, "full")
    assert not without_route(work.now[:2], "safe")


# ---------------------------------------------------------------- in whose name threads are somewhere


def _two_places() -> History:
    """Threads 7, 8 and 9 in `wait` until 500 ms, then in `other`; reports at 100, 300 and 690 ms."""
    history = _history()
    for event in (
        FrameDef(1, Frame("wait", "/app/x.py", 5)),
        FrameDef(2, Frame("other", "/app/x.py", 9)),
        StackDef(5, (1,)),
        StackDef(6, (2,)),
    ):
        history.apply(event)
    history.apply(Tick(10 * MS, 0, 0, False, (7, 5, 2, 0, 8, 5, 2, 0, 9, 5, 2, 0)))
    query = WorkItem(4, 12, 0, 0, (7,), inside=1)
    history.apply(Work(100 * MS, (WorkItem(1, 11, 0, 0, (7,)), query, WorkItem(2, 13, 0, 0, (8,)))))
    history.apply(Work(300 * MS, (WorkItem(1, 11, 0, 0, (7,)), WorkItem(3, 11, 0, 0, (8,), (3,)))))
    history.apply(Tick(500 * MS, 0, 0, False, (7, 6, 2, 0, 8, 6, 2, 0, 9, 6, 2, 0)))
    history.apply(Work(690 * MS, (WorkItem(5, 13, 0, 0, (7,)),)))
    _tick(history, 1000)
    return history


def test_a_thread_counts_once_for_what_it_served_most_where_it_stood() -> None:
    history, names = _two_places(), Names()
    wait, other = {("/app/x.py", "wait")}, {("/app/x.py", "other")}
    orders, bare = "GET /orders/<id>", "GET (route not known)"
    for _ in range(2):  # the second time out of what was kept
        found = names.served(history, 0, {7, 8, 9}, wait)
        # 300 to 690 ms: in the middle of it all were in `wait`. The query is no name beside its request.
        assert found == (Served("request", orders, 2, 0.98), Served("request", bare, 0, 0.2))
        assert names.served(history, 0, {7, 8, 9}, other) == (Served("request", bare, 1, 0.31),)
    assert words(found, 3) == f"{orders} (2 of 3 threads)"
    assert names.served(history, 0, {-3}, wait)[0].threads == 1  # of a task, where it stood is not asked
    assert names.served(history, 0, {9}) == names.served(history, 0, set()) == ()
    assert names.served(history, 0, {7, 8, 9}, {("/app/y.py", "wait")}) == ()


def test_very_many_names_in_a_sentence() -> None:
    served = [Served("request", f"GET /{i}", 9 - i, 1.0) for i in range(9)]
    assert words(served, 20) == "GET /0 (9 of 20 threads), GET /1 (8), GET /2 (7) and 6 other names"
    assert words(served[:1]) == "GET /0 (9 threads)"
    assert words([], 20) == words([Served("request", "GET /", 0, 0.1)], 20) == ""
