"""Rules that need the agent: what they conclude from its reports and from counted calls, and when they hold back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from build import RUNNING, Scene, frame, recv, site, waits_for
from counted import Rates, window

from concview import registry
from concview.analysis.calls import Function
from concview.catalogue.rules import _exact
from concview.catalogue.rules.rwlock_short_reads import gives, takes
from concview.model import (
    AgentStatus,
    Await,
    Callee,
    CallInfo,
    Calls,
    LoopInfo,
    NotApplicable,
    Site,
    TaskGroup,
    TaskInfo,
    Tasks,
    Wait,
)

RULES = registry.everything("concview.catalogue.rules", "RULE")
APP = "/srv/app.py"


def scene(rule: str, attached: bool = True, **more: object) -> Scene:
    one = Scene(rules={rule: RULES[rule.replace("-", "_")]}, **more)  # type: ignore[arg-type]
    if attached:
        one.history.apply(AgentStatus(one.now_ns, "attached"))
    return one


def refusal(one: Scene) -> NotApplicable:
    (only,) = one.judgement.not_applicable
    return only


@pytest.mark.parametrize(
    "rule",
    [
        "lock-per-call-counter",
        "rwlock-short-reads",
        "actor-for-trivial-state",
        "retry-storm",
        "object-pool-overhead",
    ],
)
def test_without_an_agent(rule: str) -> None:
    one = scene(rule, attached=False)
    one.play(3)
    assert "no agent" in refusal(one).why and refusal(one).enable.startswith("attach the agent")
    one.history.apply(AgentStatus(one.now_ns, "ended"))
    one.play(1)
    assert "no agent" in refusal(one).why


@pytest.mark.parametrize(
    "rule",
    ["lock-per-call-counter", "rwlock-short-reads", "actor-for-trivial-state", "retry-storm", "object-pool-overhead"],
)
def test_without_counted_calls(rule: str) -> None:
    one = scene(rule)
    one.play(3)
    assert "no calls were counted" in refusal(one).why and "w in the view Inside" in refusal(one).enable
    one.history.apply(Calls(one.now_ns, "monitoring", "none", 5.0, False, True, 0, 0, 0.0, ()))
    one.play(1)
    assert "no wall-clock times" in refusal(one).why
    counted(one, ())
    one.play(1)
    assert not one.judgement.not_applicable
    one.play(61)
    assert "no calls were counted" in refusal(one).why, "an old account is no evidence"


# ---------------------------------------------------------------- task-leak


def report(one: Scene, count: int, ended: int = 0, file: str = APP, chain: Sequence[Await] = ()) -> None:
    task = TaskInfo("Task-7", "waiting", 3.0, tuple(chain) or (Await("watch", file, 12),))
    loop = LoopInfo(1, "Loop", count, 0, 0, 0.0, (task,), (TaskGroup("watch", file, 10, count, ended),))
    one.history.apply(Tasks(one.now_ns, (loop,)))


def tasks(one: Scene, seconds: int, at: Callable[[int], tuple[int, int]], **more: object) -> None:
    """Once a second what `at(second)` gives: tasks there are, and ended since."""
    for second in range(seconds):
        report(one, *at(second), **more)  # type: ignore[arg-type]
        one.play(1)


def test_tasks_that_pile_up_are_a_leak() -> None:
    one = scene("task-leak")
    tasks(one, 70, lambda s: (20 * s, 0))
    first, warned = one.first("task-leak"), one.first("task-leak", "warn")
    assert first is not None and 6 <= first < 12 and warned is not None and 60 <= warned < 68
    found = one.found("task-leak")
    assert found is not None and found.where[0].line == 10 and "watch" in found.title


def test_tasks_that_end_are_none() -> None:
    one = scene("task-leak")
    tasks(one, 40, lambda s: (20 * s, 5))
    assert not one.ever()


def test_a_start_up_is_none() -> None:
    """All at once, and then as many as ever."""
    one = scene("task-leak")
    tasks(one, 40, lambda s: (min(500 * s, 1000), 0))
    assert not one.ever()


def test_a_leak_that_is_mended_clears() -> None:
    one = scene("task-leak")
    tasks(one, 30, lambda s: (20 * s, 0))
    assert one.found("task-leak") is not None
    tasks(one, 30, lambda s: (600, 0) if s else (600, 20))
    assert one.found("task-leak") is None


def test_connections_are_an_information() -> None:
    one = scene("task-leak")
    reading = (Await("watch", APP, 12), Await("StreamReader.read", "/usr/lib/python3.12/asyncio/streams.py", 700))
    tasks(one, 80, lambda s: (20 * s, 0), chain=reading)
    assert one.first("task-leak") is not None and one.first("task-leak", "warn") is None


def test_without_a_loop_there_are_no_tasks() -> None:
    one = scene("task-leak")
    one.history.apply(Tasks(one.now_ns, ()))
    one.play(2)
    assert "no running event loop" in refusal(one).why


# ---------------------------------------------------------------- counted calls

QUEUE, LOCK = "/usr/lib/python3.13/queue.py", "<method '__exit__' of '_thread.lock' objects>"


def call(
    index: int,
    function: str,
    calls: int,
    total_s: float,
    tid: int,
    file: str = APP,
    line: int = 10,
    callees: Sequence[tuple[int, int, float]] = (),
) -> CallInfo:
    made = tuple(Callee(i, n, n, s, s) for i, n, s in callees)
    return CallInfo(index, function, file, line, calls, calls, total_s, total_s, tid, made)


def counted(one: Scene, rows: Sequence[CallInfo]) -> None:
    one.history.apply(Calls(one.now_ns, "yappi", "wall", 1.0, False, True, 0, 0, 0.0, tuple(rows)))


def taker(calls: int, average_s: float, method: str = "") -> Scene:
    """One thread that is always in `add`, taking a lock."""
    one = scene("lock-per-call-counter")
    tid = one.thread("worker")
    one.do(tid, [frame("Counter.add", 12, holds=(site("self._lock", 11, "Counter.add"),)), frame("work", 30)], RUNNING)
    inner = [call(2, method, calls, calls * 1e-7, tid, "builtins", 0)] if method else []
    rows = [call(1, "Counter.add", calls, calls * average_s, tid, callees=[(2, calls, calls * 1e-7)] if method else ())]
    counted(one, rows + inner)
    one.play(5)
    return one


def test_a_lock_on_every_call() -> None:
    found = taker(700_000, 1e-6).found("lock-per-call-counter")
    assert found is not None and found.severity == "warn" and found.measured.value == pytest.approx(0.119)
    assert found.confidence == "inferred" and found.where[0].line == 11
    exact = taker(700_000, 1e-6, LOCK).found("lock-per-call-counter")
    assert exact is not None and exact.confidence == "exact"


@pytest.mark.parametrize(("calls", "average_s"), [(50_000, 1e-6), (700_000, 5e-6)], ids=["seldom", "with work"])
def test_locks_that_are_worth_it(calls: int, average_s: float) -> None:
    assert not taker(calls, average_s).ever()


def reader(held_s: float, per_call: float = 1.0, give: str = "release_read") -> Scene:
    one = scene("rwlock-short-reads")
    tid = one.thread("worker")
    one.do(tid, [frame("Settings.get", 22), frame("serve", 40)], RUNNING)
    reads, callers = 200_000, round(200_000 / per_call)
    lock = reads * 1e-6
    counted(
        one,
        [
            call(
                1,
                "Settings.get",
                callers,
                2 * lock + reads * held_s,
                tid,
                line=20,
                callees=[(2, reads, lock), (3, reads, lock)],
            ),
            call(2, "RW.acquire_read", reads, lock, tid, line=5),
            call(3, f"RW.{give}", reads, lock, tid, line=8),
        ],
    )
    one.play(5)
    return one


def test_short_reads() -> None:
    found = reader(1e-6).found("rwlock-short-reads")
    assert found is not None and found.severity == "warn" and found.measured.value == pytest.approx(0.142)


def test_reads_that_are_none_of_it() -> None:
    assert not reader(20e-6).ever(), "long reads"
    assert not reader(1e-6, per_call=0.5).ever(), "a generator: its reads last longer than it runs"
    assert not reader(1e-6, give="release").ever(), "nothing is given back"


def test_names_of_reader_writer_locks() -> None:
    for name in ("acquire_read", "RW.read_acquire", "r_acquire", "acquire_shared", "lock_read", "acquire_read_lock"):
        assert takes(Function(name, APP, 1)) and not gives(Function(name, APP, 1)), name
    for name in ("release_read", "RW.read_release", "r_release", "release_shared", "unlock_read", "end_read"):
        assert gives(Function(name, APP, 1)) and not takes(Function(name, APP, 1)), name
    for name in ("acquire", "release", "read", "acquire_write", "reader"):
        assert not takes(Function(name, APP, 1)) and not gives(Function(name, APP, 1)), name


def asked(handles_s: float, answers: int = 10_000) -> Scene:
    one = scene("actor-for-trivial-state")
    tid, other = one.thread("handler"), one.thread("table")
    one.do(tid, [frame("Table.count", 44), frame("handle", 60)], RUNNING)
    one.do(other, [frame("serve", 33)], RUNNING)
    counted(
        one,
        [
            call(1, "Table.count", 10_000, 0.8, tid, line=40, callees=[(2, 10_000, 0.1), (3, answers, 0.7)]),
            call(2, "Queue.put", 10_000, 0.1, tid, QUEUE, 120),
            call(3, "Queue.get", answers, 0.7, tid, QUEUE, 150),
            call(4, "Queue.get", 10_000, 0.5, other, QUEUE, 150),
            call(5, "add", 10_000, 10_000 * handles_s, other, line=30),
        ],
    )
    one.play(5)
    return one


def test_an_actor_for_next_to_nothing() -> None:
    found = asked(2e-6).found("actor-for-trivial-state")
    assert found is not None and found.severity == "warn" and found.measured.value == pytest.approx(0.8)
    assert found.where[0].line == 40 and "table" in found.title


def test_actors_that_are_worth_it() -> None:
    assert not asked(60e-6).ever(), "it does something"
    assert not asked(2e-6, answers=10).ever(), "nobody waits for an answer"


def retries(attempts: int, sleeps: int, peer: bool = True) -> Scene:
    """A thousand operations in a second, each of some attempts with pauses in between."""
    one = scene("retry-storm")
    tid = one.thread("worker")
    one.do(tid, [frame("attempt", 32), frame("fetch", 44)], recv() if peer else RUNNING)
    counted(
        one,
        [
            call(1, "fetch", 1000, 9.0, tid, line=40, callees=[(2, attempts, 5.0), (3, sleeps, 4.0)]),
            call(2, "attempt", attempts, 5.0, tid, line=30),
            call(3, "sleep", sleeps, 4.0, tid, "time", 0),
        ],
    )
    one.play(5)
    return one


def test_a_storm_of_retries() -> None:
    found = retries(3000, 2000).found("retry-storm")
    assert found is not None and found.severity == "warn" and found.measured.value == pytest.approx(2 / 3)
    assert "127.0.0.1:5432" in found.title and [w.line for w in found.where] == [40, 30]


def test_what_is_no_storm() -> None:
    assert not retries(1050, 50).ever(), "within a budget"
    assert not retries(3000, 3000).ever(), "a pause after each: a job at its own pace"
    assert not retries(3000, 2000, peer=False).ever(), "nobody is asked"


def pooled(
    makes_s: float = 0.2e-6,
    made: int = 2000,
    given: int = 100_000,
    item: str = "Box",
    wait: Wait = RUNNING,
    queue_s: float = 0.4,
) -> Scene:
    """A thread that takes 100,000 boxes out of a queue and puts them back, in a second."""
    one = scene("object-pool-overhead")
    tid = one.thread("worker")
    queue = Site("boxes", APP, 44, "lay_out", "app.py", "get", item=item)
    one.do(tid, [frame("Queue.get", 170, QUEUE, "stdlib"), frame("lay_out", 44, checkout=queue)], wait)
    counted(
        one,
        [
            call(1, "lay_out", 2000, 0.95, tid, line=40, callees=[(2, 100_000, queue_s), (3, given, queue_s)]),
            call(2, "Queue.get", 100_000, queue_s, tid, QUEUE, 160),
            call(3, "Queue.put", given, queue_s, tid, QUEUE, 120),
            call(4, "Box.__init__", made, made * makes_s, tid, line=28),
            call(5, "ToolBox.__init__", 5000, 0.1, tid, line=90),
        ],
    )
    one.play(5)
    return one


def test_a_pool_of_what_is_quickly_made() -> None:
    one = pooled()
    found = one.found("object-pool-overhead")
    assert found is not None and found.severity == "info" and found.measured.value == pytest.approx(0.047, abs=0.001)
    assert (found.where[0].line, found.where[-1].line) == (44, 28) and "Box" in found.title


def test_on_a_busy_machine_everything_takes_longer() -> None:
    found = pooled(makes_s=1e-6, queue_s=2.0).found("object-pool-overhead")
    assert found is not None and found.measured.value == pytest.approx(0.047, abs=0.001)
    assert not pooled(makes_s=1e-6, queue_s=0.2).ever(), "a fast machine makes nothing slower"


def test_who_got_little_of_a_cpu_would_have_done_more_with_a_whole_one() -> None:
    threads = window({"worker": Rates(cpu=0.2, delay=0.8), "starved": Rates(cpu=0.0, delay=1.0), "fed": Rates(cpu=1.0)})
    had = {t.name: _exact.had_cpu(t) for t in threads.threads}
    assert had == {"worker": pytest.approx(0.2, abs=0.01), "starved": 0.05, "fed": pytest.approx(1.0)}


def test_pools_that_are_worth_it() -> None:
    assert not pooled(makes_s=5e-6).ever(), "a connection, a large buffer"
    assert not pooled(given=10).ever(), "it hands over"
    assert not pooled(wait=waits_for()).ever(), "it is waited for: the pool is a limit"
    assert not pooled(wait=recv()).ever(), "it is waited with: a connection"
    one = pooled(makes_s=0.6e-6)
    assert not one.ever() and one.judgement.clear == ("object-pool-overhead",), "hardly anything to gain"


def test_what_it_costs_to_make_one_was_not_seen() -> None:
    for one, what in ((pooled(made=20), "make Box"), (pooled(item=""), "what boxes holds")):
        assert not one.ever()
        assert what in refusal(one).why and "--from-start" in refusal(one).enable
