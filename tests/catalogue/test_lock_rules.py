"""lock-held-across-io, lock-contention and deadlock: fire, stay silent, and what only looks like them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import DB, RUNNING, SLEEP, Scene, frame, holds, recv, site, stdlib, waits_for

from concview.analysis.window import Window
from concview.model import Confidence, Peer, Severity, Site, Wait, WaitKind
from concview.session.locks import lock_views

LOCK = site("self._lock", 10, "Cache.get", "app.py::Cache")
ADDRESS = 0x7F0000001000


def queue(
    scene: Scene,
    workers: int,
    held: float,
    think: float,
    inside: Wait,
    exact: bool = True,
    of: Site = LOCK,
    address: int = ADDRESS,
    fd: Callable[[int], int] = lambda n: 7 + n,
) -> Callable[[float], None]:
    """`workers` threads that take one lock in turn, each holding it `held` seconds and then thinking for `think`."""
    tids = [scene.thread(f"web-{n}") for n in range(workers)]
    outer = frame("worker", 30)
    waiting, free, owner, until = [*tids], {}, 0, 0.0

    def script(at: float) -> None:
        nonlocal owner, until
        if owner and at >= until - 1e-9:
            free[owner] = at + think
            owner = 0
        for tid, back in list(free.items()):
            if at >= back - 1e-9:
                del free[tid]
                waiting.append(tid)
        if not owner and waiting:
            owner, until = waiting.pop(0), at + held
        for n, tid in enumerate(tids):
            if tid == owner:
                wait = Wait(inside.kind, inside.syscall, fd(n), inside.peer) if inside.fd >= 0 else inside
                line = frame("Cache.get", 12, holds=(of,))
                scene.do(tid, [line, outer], wait, holds(address, of) if exact else ())
            elif tid in free:
                scene.do(tid, [outer], SLEEP)
            else:
                address_known = waits_for(address if exact else 0)
                scene.do(tid, [frame("Cache.get", 10, acquires=of, text="with self._lock:"), outer], address_known)

    return script


@pytest.mark.parametrize("exact", [True, False])
def test_held_across_io_fires_and_explains_the_contention(exact: bool) -> None:
    scene = Scene(without=() if exact else ("locks", "held-locks"))
    scene.play(4, queue(scene, 8, 0.02, 0.005, recv(), exact))
    finding = scene.found("lock-held-across-io")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert finding.confidence is (Confidence.EXACT if exact else Confidence.INFERRED)
    assert "self._lock" in finding.summary
    assert "waiting for data from 127.0.0.1:5432" in finding.summary
    assert "8 threads (web-*)" in finding.summary
    assert "with self._lock: row" in finding.fix
    assert "could overlap" in finding.gain
    assert finding.where[0].function == "Cache.get"
    assert {s.role for s in finding.stacks} == {"holder", "waiter"}
    assert scene.ever() == {"lock-held-across-io"}
    assert dict(scene.judgement.explained) == {"lock-contention": "lock-held-across-io"}
    first = scene.first("lock-held-across-io", "warn")
    assert first is not None and first <= 2.5


def test_held_while_sleeping() -> None:
    scene = Scene()
    scene.play(4, queue(scene, 4, 0.05, 0.01, SLEEP))
    finding = scene.found("lock-held-across-io")
    assert finding is not None
    assert "sleeping" in finding.title


def test_one_descriptor_that_the_lock_guards() -> None:
    scene = Scene()
    scene.play(4, queue(scene, 4, 0.02, 0.005, recv(), fd=lambda n: 7))
    finding = scene.found("lock-held-across-io")
    assert finding is not None
    assert "seems to guard that connection" in finding.summary
    assert "pool.get()" in finding.fix


def test_computing_under_the_lock_is_contention_only() -> None:
    scene = Scene()
    scene.play(4, queue(scene, 8, 0.03, 0.01, RUNNING))
    assert scene.ever() == {"lock-contention"}
    finding = scene.found("lock-contention")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert "mostly computing" in finding.summary
    assert "serialises 8 threads (web-*)" in finding.summary
    assert "Amdahl" in finding.gain
    assert finding.measured.value == pytest.approx(6.7, abs=0.4)


def test_a_lock_between_processes_is_told_in_words_of_processes() -> None:
    scene, kind = Scene(), "multiprocessing.Lock"
    tid = scene.thread("MainThread")
    taking = [stdlib("SemLock.__enter__", "multiprocessing/synchronize.py", 95), frame("work", 10, acquires=LOCK)]

    def script(at: float) -> None:
        """Others have it for 0.6 of every 0.8 seconds."""
        if round(at * 10) % 8 < 6:
            scene.do(tid, taking, waits_for(ADDRESS, kind=kind))
        else:
            scene.do(tid, [frame("work", 11)], SLEEP, holds(ADDRESS, LOCK, kind))

    scene.play(12, script)
    finding = scene.found("lock-contention")
    assert finding is not None
    assert finding.title == "Processes queue for self._lock, a multiprocessing.Lock"
    assert "by other processes)" in finding.summary
    assert "serialises" not in finding.summary
    assert "no process waits" in finding.fix
    assert "check --tree" in finding.check_next
    (view,) = lock_views(Window(scene.history))
    assert [(h.tid, h.name) for h in view.holders] == [(0, "another process"), (tid, "MainThread")]
    assert view.holders[0].share == pytest.approx(0.75, abs=0.05)
    assert sum(h.share for h in view.holders) == pytest.approx(1)


def test_two_threads_that_one_lock_serialises_are_a_warning() -> None:
    scene = Scene()
    scene.play(5, queue(scene, 2, 0.03, 0.0, RUNNING))
    finding = scene.found("lock-contention")
    assert finding is not None
    assert finding.measured.value <= 1.0
    assert finding.severity is Severity.WARN


def test_short_sections_are_silent() -> None:
    scene = Scene()
    scene.play(12, queue(scene, 4, 0.01, 0.4, RUNNING))
    assert scene.ever() == set()
    assert {"lock-contention", "lock-held-across-io"} <= set(scene.judgement.clear)


def test_io_without_waiters_is_silent() -> None:
    scene = Scene()
    scene.play(12, queue(scene, 1, 0.5, 0.1, recv()))
    assert scene.ever() == set()


def test_a_wait_that_does_not_end_is_evidence_by_its_length() -> None:
    """Two threads that are stuck are a finding within ten seconds, however few their waits are."""
    scene = Scene()
    script = queue(scene, 3, 100.0, 0.0, RUNNING)
    scene.play(4, script)
    assert scene.found("lock-contention") is None
    assert any("separate episodes" in p.needs for p in scene.judgement.pending if p.id == "lock-contention")
    scene.play(5, script)
    found = scene.found("lock-contention")
    assert found is not None
    assert found.severity == "warn"
    assert found.measured.episodes == 2


@pytest.mark.parametrize("signal", [True, False])
def test_those_that_wait_to_be_told_by_a_process_do_not_queue_for_a_lock(signal: bool) -> None:
    """An Event of multiprocessing is made of semaphores, which each of those that wait for it acquires."""
    scene = Scene()
    of = site("self._wait_semaphore", 268, "Condition.wait", "synchronize.py", "acquire")
    file = "multiprocessing/synchronize.py" if signal else "mylib/locks.py"
    name = "Condition.wait" if signal else "Guard.take"
    for n in range(2):
        leaf = frame(
            name, 268, f"/usr/lib/python3.13/{file}" if signal else file, "stdlib" if signal else "user", acquires=of
        )
        scene.do(scene.thread(f"web-{n}"), [leaf, frame("serve", 30)], waits_for(ADDRESS))
    scene.do(scene.thread("loader"), [frame("load", 40)], RUNNING, holds(ADDRESS, of))
    scene.play(6)
    assert (scene.found("lock-contention") is None) is signal


def test_a_lock_that_nobody_gets_and_nobody_is_seen_with_is_no_queue() -> None:
    """To hold it for less is no help: what they wait for is the verdict's to say."""
    scene = Scene()
    of = site("ready")
    for n in range(3):
        scene.do(scene.thread(f"web-{n}"), [frame("serve", 30, acquires=of)], waits_for(ADDRESS))
    scene.play(9)
    assert scene.found("lock-contention") is None


def test_a_stuck_holder_in_io_is_named() -> None:
    scene = Scene()
    scene.play(9, queue(scene, 3, 100.0, 0.0, recv()))
    found = scene.found("lock-held-across-io")
    assert found is not None
    assert "Neither has moved" in found.summary


def test_workers_that_park_on_a_lock_each_queue_with_nobody() -> None:
    """As the workers of trio and gevent do: whoever has work for one releases its lock."""
    scene = Scene()
    tids = [scene.thread(f"worker-{n}") for n in range(6)]

    def script(at: float) -> None:
        for n, tid in enumerate(tids):
            if (at + 0.03 * n) % 0.2 < 0.02:
                scene.do(tid, [frame("job", 5), frame("run", 3)], SLEEP)
            else:
                scene.do(tid, [frame("run", 2, text="if self.gate.acquire(timeout=10):")], waits_for(ADDRESS + n * 64))

    scene.play(15, script)
    assert scene.ever() == set()


@pytest.mark.parametrize("via", ["Queue.put", "Barrier.wait", "Future.result", "Semaphore.acquire", "Condition.wait"])
def test_other_waits_are_not_contention(via: str) -> None:
    scene = Scene()
    tids = [scene.thread(f"w-{n}") for n in range(6)]

    def script(at: float) -> None:
        for n, tid in enumerate(tids):
            blocked = int(at * 20 + n) % 4
            wait = waits_for(ADDRESS, via=via) if blocked else RUNNING
            scene.do(tid, [frame("work", 5, acquires=LOCK if blocked else None)], wait)

    scene.play(8, script)
    assert "lock-contention" not in scene.ever()
    assert "lock-held-across-io" not in scene.ever()


def test_how_many_permits_would_do_counts_who_has_one_at_a_time() -> None:
    """Six threads take turns at two permits: four wait, so six permits would do, and not ten."""
    scene = Scene()
    tids = [scene.thread(f"w-{n}") for n in range(6)]

    def script(at: float) -> None:
        for n, tid in enumerate(tids):
            if (int(at * 4) + n) % 6 < 2:
                scene.do(tid, [frame("ask", 90), frame("send", 6)], SLEEP)
            else:
                scene.do(tid, [frame("send", 5)], waits_for(ADDRESS, via="Semaphore.acquire", kind="Semaphore"))

    scene.play(12, script)
    found = scene.found("semaphore-starvation")
    assert found is not None
    assert "6 threads (w-*) have one in turn, mostly sleeping" in found.summary
    assert "With 6 permits nobody would wait" in found.gain


def test_a_semaphore_is_not_a_lock() -> None:
    scene = Scene()
    tids = [scene.thread(f"w-{n}") for n in range(6)]

    def script(at: float) -> None:
        for n, tid in enumerate(tids):
            if int(at * 20 + n) % 6 < 2:
                scene.do(tid, [frame("work", 12)], recv(), holds(ADDRESS, LOCK, "Semaphore"))
            else:
                scene.do(tid, [frame("work", 10, acquires=LOCK)], waits_for(ADDRESS, kind="Semaphore"))

    scene.play(6, script)
    # All of this scene read one descriptor, which is another matter.
    assert scene.ever() <= {"connection-starvation"}


def test_one_expression_for_many_objects_is_not_one_lock() -> None:
    """Without addresses, `self._lock` of eight objects looks like one lock that eight threads hold at once."""
    scene = Scene(without=("locks", "held-locks"))
    # Every object has connections of its own
    scripts = [queue(scene, 2, 0.03, 0.01, recv(), exact=False, fd=(7 + 2 * n).__add__) for n in range(4)]
    scene.play(6, lambda at: [script(at) for script in scripts].clear())
    # All of this scene read one descriptor, which is another matter.
    assert scene.ever() <= {"connection-starvation"}


# ---------------------------------------------------------------- deadlock

A, B = site("alice", 20, "transfer"), site("bob", 30, "transfer")


def embrace(scene: Scene, exact: bool = True, timed: bool = False) -> tuple[int, int]:
    one, two = scene.thread("alice-pays-bob"), scene.thread("bob-pays-alice")
    a, b = (0xA0, 0xB0) if exact else (0, 0)
    scene.do(
        one,
        [frame("transfer", 22, holds=(A,), acquires=B, text="with bob:")],
        waits_for(b, timed),
        holds(a, A) if exact else (),
    )
    scene.do(
        two,
        [frame("refund", 32, holds=(B,), acquires=A, text="with alice:")],
        waits_for(a, timed),
        holds(b, B) if exact else (),
    )
    return one, two


def test_deadlock_exact() -> None:
    scene = Scene()
    tids = embrace(scene)
    behind = scene.thread("teller")
    scene.do(behind, [frame("count", 40, acquires=A)], waits_for(0xA0))
    scene.play(0.9)
    assert scene.ever() == set()
    needs = next(p.needs for p in scene.judgement.pending if p.id == "deadlock")
    assert "a cycle to be seen to stand for 1.0 s" in needs
    scene.play(3)
    finding = scene.found("deadlock")
    assert finding is not None
    assert (finding.score, finding.severity, finding.confidence) == (100, Severity.WARN, Confidence.EXACT)
    assert finding.threads == (*tids, behind)
    assert "alice-pays-bob waits for bob" in finding.summary
    assert "1 more thread waits behind them" in finding.summary
    assert len(finding.stacks) == 2
    assert "sorted((bob, alice), key=id)" in finding.fix
    assert scene.ever() == {"deadlock"}
    first = scene.first("deadlock")
    assert first is not None and first <= 2.0


def test_deadlock_inferred_says_so() -> None:
    scene = Scene(without=("locks", "held-locks"))
    embrace(scene, exact=False)
    scene.play(4)
    finding = scene.found("deadlock")
    assert finding is not None
    assert (finding.score, finding.confidence) == (90, Confidence.INFERRED)
    assert "inferred from the source" in finding.summary


def test_timed_waits_are_no_deadlock() -> None:
    scene = Scene()
    embrace(scene, timed=True)
    scene.play(6)
    assert "deadlock" not in scene.ever()


def test_a_cycle_that_dissolves_is_no_deadlock() -> None:
    scene = Scene()
    one, two = embrace(scene)

    def script(at: float) -> None:
        for tid, mine, other in ((one, (0xA0, A), 0xB0), (two, (0xB0, B), 0xA0)):
            if at % 0.8 < 0.6:
                scene.do(tid, [frame("transfer", 22)], waits_for(other), holds(*mine))
            else:
                scene.do(tid, [frame("transfer", 25)], RUNNING, holds(*mine))

    scene.play(8, script)
    assert "deadlock" not in scene.ever()


def test_a_thread_that_waits_for_its_own_lock() -> None:
    scene = Scene()
    tid = scene.thread("worker")
    scene.do(tid, [frame("inner", 41, acquires=A), frame("outer", 21)], waits_for(0xA0), holds(0xA0, A))
    scene.play(3)
    finding = scene.found("deadlock")
    assert finding is not None
    assert "waits for itself" in finding.title
    assert "RLock" in finding.fix


def test_joining_a_thread_that_needs_the_lock() -> None:
    scene = Scene()
    main, worker = scene.thread("MainThread"), scene.thread("worker")
    joins = Wait(WaitKind.FUTEX, "futex", lock=0xF0, via="Thread.join", target=worker)
    scene.do(main, [stdlib("Thread.join", "threading.py"), frame("stop", 50)], joins, holds(0xA0, A))
    scene.do(worker, [frame("run", 22, acquires=A)], waits_for(0xA0))
    scene.play(4)
    finding = scene.found("deadlock")
    assert finding is not None
    assert "MainThread waits for the end of worker" in finding.summary
    assert "thread.join()" in finding.fix


def test_a_semaphore_in_the_circle_is_no_deadlock() -> None:
    scene = Scene()
    one, two = scene.thread("a"), scene.thread("b")
    scene.do(one, [frame("f", 22)], waits_for(0xB0, kind="Semaphore"), holds(0xA0, A))
    scene.do(two, [frame("g", 32)], waits_for(0xA0), holds(0xB0, B, "Semaphore"))
    scene.play(4)
    assert "deadlock" not in scene.ever()


def test_a_chain_is_no_cycle() -> None:
    scene = Scene()
    names = ["a", "b", "c"]
    tids = [scene.thread(n) for n in names]
    for n, tid in enumerate(tids[:2]):
        scene.do(tid, [frame("f", 22)], waits_for(0xA1 + n), holds(0xA0 + n, A))
    scene.do(tids[2], [frame("g", 9)], recv(peer=DB), holds(0xA2, B))
    scene.play(5)
    assert "deadlock" not in scene.ever()


def test_join_and_queue_are_no_locks() -> None:
    scene = Scene()
    one = scene.thread("MainThread")
    scene.do(one, [stdlib("Thread.join", "threading.py"), frame("main", 3)], waits_for(0xA0), holds(0xA0, A))
    scene.play(4)
    assert scene.ever() == set()


@pytest.mark.parametrize("leads", [True, False])
def test_leader_and_followers_have_nothing_to_do(leads: bool) -> None:
    """The lock is kept in accept(), in the function in which the others wait for their turn."""
    scene = Scene()
    leader, *others = (scene.thread(f"w-{n}") for n in range(4))
    turn = site("turn", 5)
    listens = Wait(WaitKind.IO, "accept4", 3, Peer("tcp", "127.0.0.1:80", status="LISTEN"))
    scene.do(leader, [frame("work", 6, holds=(turn,))], listens if leads else recv(), holds(ADDRESS, turn))
    for tid in others:
        scene.do(tid, [frame("work", 5, acquires=turn, text="with turn:")], waits_for(ADDRESS))
    scene.play(10)
    assert bool({"lock-contention", "lock-held-across-io"} & scene.ever()) != leads
