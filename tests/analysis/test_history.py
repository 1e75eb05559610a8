"""The stream, kept: runs, buckets, bounds."""

from concview import codec
from concview.analysis import accounting, graph
from concview.analysis.history import History
from concview.analysis.records import ThreadHistory
from concview.analysis.window import Window
from concview.model import (
    Capability,
    Confidence,
    Counters,
    Forget,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Site,
    StackDef,
    State,
    Target,
    ThreadCounters,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)

MS = 1_000_000
A = Site("A", "x.py", 1, "f", "x.py")
B = Site("B", "x.py", 2, "f", "x.py")


def begun() -> History:
    history = History()
    caps = {"held-locks": Capability(True), "stacks": Capability(True)}
    history.apply(Hello(codec.STREAM_VERSION, "0", Target(1, "3.13.0", (), 0.0), "direct", 100, 5, 0, 0.0, caps))
    history.apply(WaitDef(1, Wait(WaitKind.RUNNING)))
    history.apply(WaitDef(2, Wait(WaitKind.SLEEP)))
    history.apply(WaitDef(3, Wait(WaitKind.FUTEX, lock=0xA, lock_kind="Lock")))
    history.apply(WaitDef(4, Wait(WaitKind.FUTEX, lock=0xB, lock_kind="Lock")))
    history.apply(WaitDef(5, Wait(WaitKind.GIL)))
    history.apply(FrameDef(1, Frame("f", "x.py", 1)))
    history.apply(StackDef(1, (1,)))
    history.apply(HoldsDef(1, (Hold(0xA, "Lock", A, Confidence.EXACT),)))
    history.apply(HoldsDef(2, (Hold(0xB, "Lock", B, Confidence.EXACT),)))
    return history


def counters(at: int, *threads: ThreadCounters) -> Counters:
    return Counters(at, at / 2e9, 0.0, 1, 1, len(threads), tuple(threads))


def test_a_thread_that_was_there_long_before_it_was_seen_was_not_born_then() -> None:
    """Where there are very many, one is looked at long after we came: what it did before is no burst of CPU."""
    history = begun()
    old, new = 7, 8
    history.apply(Counters(0, 0.0, 0.0, 1, 1, 2, ()))
    history.apply(Tick(5_000 * MS, 10 * MS, 0, False, ()))
    history.apply(ThreadDef(old, "old", -1))  # by the kernel's clock, at the beginning
    history.apply(ThreadDef(new, "new", 4_900 * MS))
    both = ThreadCounters(old, 3_000 * MS, 0, 0, 0), ThreadCounters(new, 50 * MS, 0, 0, 0)
    history.apply(Counters(5_000 * MS, 0.0, 0.0, 1, 1, 40, both))
    history.apply(Tick(5_600 * MS, 600 * MS, 0, False, (old, 1, 1, 0, new, 1, 1, 0)))
    history.apply(Counters(5_600 * MS, 0.0, 0.0, 1, 1, 40, both))
    used = {tid: sum(b.cpu_ns for b in history.threads[tid].buckets) for tid in (old, new)}
    assert used == {old: 0, new: 50 * MS}
    assert sum(b.births for b in history.buckets) == 1
    assert history.counted[-1] == (5_600 * MS, 40)
    assert history.buckets[-1].threads == 40, "the kernel has counted those that were not seen, too"


def test_time_is_accounted_by_elapsed_time() -> None:
    history = begun()
    history.apply(ThreadDef(1, "t"))
    history.apply(counters(0, ThreadCounters(1, 0, 0, 0, 0)))
    at = 0
    for i in range(101):  # uneven ticks: 5 ms running, 15 ms asleep
        step = 5 * MS if i % 2 else 15 * MS
        at += step
        history.apply(Tick(at, step, 1 if i % 2 else 0, False, (1, 1, 1 if i % 2 else 2, 0)))
    history.apply(counters(at, ThreadCounters(1, at // 4, 0, 0, 0)))
    (bucket,) = history.threads[1].buckets
    shares = accounting.to_shares(bucket.sampled)
    assert abs(shares[State.RUNNING] - 0.25) < 0.02
    assert abs(shares[State.SLEEP] - 0.75) < 0.02
    assert abs(history.buckets[-1].gil_held_ns / history.buckets[-1].gil_seen_ns - 0.25) < 0.02


def test_an_idle_thread_costs_no_runs() -> None:
    history = begun()
    history.apply(ThreadDef(1, "t"))
    history.apply(Tick(MS, 0, 0, False, (1, 1, 2, 0)))
    for i in range(2, 5000):
        history.apply(Tick(i * MS, MS, 0, False, ()))
    assert len(history.threads[1].runs) == 1


def test_runs_and_gil_ticks_are_pruned() -> None:
    history = begun()
    history.apply(ThreadDef(1, "t"))
    for i in range(1, 6000):
        history.apply(Tick(i * 10 * MS, 10 * MS, 0, False, (1, 1, 1 + i % 2, 0)))
        if i % 20 == 0:
            history.apply(counters(i * 10 * MS, ThreadCounters(1, 0, 0, 0, 0)))
    assert len(history.threads[1].runs) < 2_200
    assert len(history.gil) < 2_200
    assert len(history.threads[1].buckets) <= 120


def test_forget_keeps_what_was_seen() -> None:
    history = begun()
    history.apply(ThreadDef(1, "t"))
    history.apply(Tick(MS, 0, 0, False, (1, 1, 2, 0)))
    history.apply(Forget(MS))
    assert history.threads[1].current is not None
    assert history.threads[1].current.stack.leaf is not None
    assert history.threads[1].current.stack.leaf.function == "f"
    history.apply(Tick(2 * MS, MS, 0, False, (1, 99, 99, 0)))
    assert history.threads[1].current.state is State.UNKNOWN


def test_a_thread_that_ends_stays_for_the_window() -> None:
    history = begun()
    history.apply(ThreadDef(1, "t"))
    history.apply(Tick(MS, 0, 0, False, (1, 1, 5, 0)))
    history.apply(ThreadGone(1, 3 * MS))
    assert not history.threads and history.gone[0].runs[-1].end_ns == 3 * MS
    history.apply(Tick(4 * MS, MS, 0, False, ()))
    assert history.gil[-1].waiters == 0


def test_deadlock_is_a_cycle_of_exact_edges() -> None:
    history = begun()
    for tid in (1, 2, 3):
        history.apply(ThreadDef(tid, f"t{tid}"))
    # 1 holds A and wants B, 2 holds B and wants A, 3 wants A and holds nothing.
    history.apply(Tick(MS, 0, 0, False, (1, 1, 4, 1, 2, 1, 3, 2, 3, 1, 3, 0)))
    history.apply(Tick(5 * MS, 4 * MS, 0, False, ()))
    edges = graph.edges(history.threads.values(), True)
    assert {(e.waiter, e.holder) for e in edges} == {(1, 2), (2, 1), (3, 1)}
    assert all(e.confidence is Confidence.EXACT for e in edges)
    (cycle,) = graph.cycles(edges)
    assert [e.waiter for e in cycle] == [1, 2]


def test_lock_over_the_window() -> None:
    history = begun()
    for tid in (1, 2):
        history.apply(ThreadDef(tid, f"t{tid}"))
    history.apply(Tick(0, 0, 0, False, (1, 1, 2, 1, 2, 1, 3, 0)))  # 1 sleeps with A, 2 waits for A
    history.apply(Tick(100 * MS, 100 * MS, 0, False, ()))
    history.apply(Tick(150 * MS, 50 * MS, 0, False, (1, 1, 2, 0, 2, 1, 1, 1)))
    history.apply(Tick(200 * MS, 50 * MS, 0, False, ()))
    (lock,) = Window(history).locks.values()
    assert lock.address == 0xA and lock.site == A
    assert lock.wait_ns == 100 * MS and lock.episodes == 1 and lock.waiters_max == 1
    assert lock.held_ns == 200 * MS
    assert lock.contended_hold_ns() == {State.SLEEP: 100 * MS}
    assert lock.holder_shares() == [(1, 0.5), (2, 0.5)]


def test_switches_that_are_read_for_the_first_time_are_those_of_a_whole_life() -> None:
    thread = ThreadHistory(7, "worker", 1, 0, False)
    thread.counters_at_bucket = ThreadCounters(7, 5, 0, -1, -1)
    thread.counters = ThreadCounters(7, 6, 0, 90_000, 40)
    thread.close_bucket(1, 2)
    assert (thread.buckets[-1].cpu_ns, thread.buckets[-1].voluntary, thread.buckets[-1].involuntary) == (1, -1, -1)
    thread.counters = ThreadCounters(7, 6, 0, 90_005, 41)
    thread.close_bucket(2, 3)
    assert (thread.buckets[-1].voluntary, thread.buckets[-1].involuntary) == (5, 1)
