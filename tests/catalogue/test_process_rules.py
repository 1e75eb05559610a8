"""gil-contention, thread-explosion and blocked-event-loop: fire, stay silent, and what only looks like them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from build import GIL, IDLE_LOOP, RUNNING, SELECT, SLEEP, Scene, frame, in_loop, recv, site, stdlib, waits_for

from concview.model import Frame, Severity, Wait

# ---------------------------------------------------------------- GIL


def turns(scene: Scene, count: int, parallel: int = 1, rest: float = 0.0) -> Callable[[float], None]:
    """`count` threads of which `parallel` run at a time, in turns; all of them sleep for a share `rest` of the time."""
    tids = [scene.thread(f"draw_{n}") for n in range(count)]

    def script(at: float) -> None:
        turn = int(at * 50)
        for n, tid in enumerate(tids):
            stack = [frame("draw", 30 + turn % 3, text="z = z * z + c"), frame("strip", 50)]
            if at % 1.0 < rest:
                scene.do(tid, [frame("strip", 52)], SLEEP)
            else:
                scene.do(tid, stack, RUNNING if (n - turn) % count < parallel else GIL)

    return script


def test_gil_contention_fires() -> None:
    scene = Scene()
    scene.play(4, turns(scene, 4))
    finding = scene.found("gil-contention")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert finding.measured.value == pytest.approx(0.75, abs=0.02)
    assert "4 threads (draw_*)" in finding.summary
    assert "app.py" in finding.summary and "in draw" in finding.summary
    assert "pool.map(draw" in finding.fix
    assert "2.0 x" in finding.gain
    assert {s.role for s in finding.stacks} == {"hog"}
    first = scene.first("gil-contention")
    assert first is not None and first <= 2.5
    assert scene.ever() == {"gil-contention"}


def test_native_code_that_released_the_gil_is_silent() -> None:
    scene = Scene(cpus=4)
    scene.play(8, turns(scene, 4, parallel=3))
    assert scene.ever() == set()


@pytest.mark.parametrize(("count", "rest"), [(1, 0.0), (4, 0.6)])
def test_one_hog_or_a_burst_is_silent(count: int, rest: float) -> None:
    scene = Scene()
    scene.play(12, turns(scene, count, rest=rest))
    assert scene.ever() == set()


def test_on_one_cpu_it_is_an_information() -> None:
    scene = Scene(cpus=1)
    scene.play(5, turns(scene, 4))
    finding = scene.found("gil-contention")
    assert finding is not None
    assert finding.severity is Severity.INFO
    assert "one CPU only" in finding.gain


def test_without_a_gil_it_is_not_applicable() -> None:
    scene = Scene(free_threaded=True, without=("gil",))
    scene.play(3, turns(scene, 4, parallel=4))
    entries = {n.id: n.why for n in scene.judgement.not_applicable}
    assert "gil-contention" in entries


# ---------------------------------------------------------------- threads


def spawn(scene: Scene, rate: float, life: float, work: Frame, most: int = 10**6) -> Callable[[float], None]:
    """Threads started at `rate` a second that live for `life` seconds."""
    main = scene.thread("MainThread")
    alive: list[tuple[float, int]] = []
    started = 0

    def script(at: float) -> None:
        nonlocal started
        while alive and alive[0][0] <= at:
            scene.gone(alive.pop(0)[1])
        while started < at * rate and len(alive) < most:
            started += 1
            tid = scene.thread(f"request-{started}", started_s=0.0)
            alive.append((at + life, tid))
            scene.do(tid, [work, stdlib("Thread.run", "threading.py")], SLEEP)
        if int(at * 100) % 20 == 0:
            scene.do(main, [stdlib("Thread.start", "threading.py"), frame("accept", 40, text="t.start()")], SLEEP)
        else:
            scene.do(main, [frame("accept", 41)], SLEEP)

    return script


def test_thread_explosion_fires_and_names_both_ends() -> None:
    scene = Scene()
    scene.play(5, spawn(scene, 60, 10, frame("handle", 33)))
    finding = scene.found("thread-explosion")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert "60 more every second" in finding.title
    assert "handle (app.py:33 in handle)" in finding.summary
    assert [w.function for w in finding.where] == ["accept", "handle"]
    assert {s.role for s in finding.stacks} == {"creator", "created"}
    assert "pool.submit(handle" in finding.fix
    assert scene.ever() == {"thread-explosion"}


def test_thread_per_request_stays_found_when_it_levels_off() -> None:
    scene = Scene(hz=20)
    scene.play(22, spawn(scene, 60, 10, frame("handle", 33)))
    finding = scene.found("thread-explosion")
    assert finding is not None
    assert finding.severity is Severity.WARN


def test_a_few_hundred_waiting_workers_are_silent() -> None:
    scene = Scene(hz=20)
    script = spawn(scene, 1000, 1000, frame("serve", 33), most=200)
    scene.play(12, script)
    assert scene.found("thread-explosion") is None


def test_an_explosion_is_counted_by_the_kernel_where_not_all_can_be_looked_at() -> None:
    scene = Scene(hz=20)
    few = spawn(scene, 20, 1000, frame("handle", 33))

    def script(at: float) -> None:
        few(at)
        scene.unseen = int(2_000 * max(0.0, at - 3.0))

    scene.play(9, script)
    finding = scene.found("thread-explosion")
    assert finding is not None
    assert finding.severity is Severity.WARN
    number, grows = finding.title.split("k threads, ")
    assert 11.5 < float(number) < 12.5
    assert 2_000 <= int(grows.removesuffix(" more every second")) <= 2_040
    assert "of them looked at so far" in finding.summary


def test_very_many_that_are_seen_one_after_the_other_do_not_grow() -> None:
    """Ten thousand that are there when we come: looking at all of them takes a minute."""
    scene = Scene(hz=20)
    scene.unseen = 10_000

    def script(at: float) -> None:
        while scene.unseen > 10_000 - 100 * at:
            scene.unseen -= 1
            scene.do(scene.thread("worker"), [frame("serve", 33), stdlib("Thread.run", "threading.py")], SLEEP)

    scene.play(15, script)
    finding = scene.found("thread-explosion")
    assert finding is not None
    assert finding.title == "10.0k threads"
    assert "keep changing" not in finding.summary
    assert all(f.severity is Severity.INFO for _, j in scene.log for f in j.findings)
    assert scene.ever() == {"thread-explosion"}


def test_a_large_pool_is_an_information_at_most() -> None:
    scene = Scene(hz=20)
    worker = stdlib("_worker", "concurrent/futures/thread.py")
    scene.play(15, spawn(scene, 100, 1000, worker, most=600))
    assert all(f.severity is Severity.INFO for _, j in scene.log for f in j.findings)


# ---------------------------------------------------------------- event loop

HANDLER = frame("handler", 70)


def loop(
    scene: Scene, blocked: float, free: float, inside: Wait, leaf: Frame, jitter: float = 0.0
) -> Callable[[float], None]:
    """An event loop that is alternately in its selector and in one callback."""
    tid = scene.thread("MainThread")
    rng = random.Random(7)
    until, busy = free, False

    def script(at: float) -> None:
        nonlocal until, busy
        if at >= until - 1e-9:
            busy = not busy
            until = at + (blocked if busy else free) * (1 + jitter * (rng.expovariate(1) - 1))
        if busy:
            scene.do(tid, in_loop(leaf, HANDLER), inside)
        else:
            scene.do(tid, list(IDLE_LOOP), SELECT)

    return script


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (recv(), "is blocked waiting for data from 127.0.0.1:5432"),
        (SLEEP, "sleeps"),
        (RUNNING, "computes"),
        (waits_for(0xA0), "waits for a lock"),
    ],
)
def test_blocked_loop_fires_with_its_cause(inside: Wait, words: str) -> None:
    scene = Scene()
    leaf = frame("look_up", 28, acquires=site() if inside.lock else None)
    scene.play(8, loop(scene, 2.0, 0.5, inside, leaf))
    finding = scene.found("blocked-event-loop")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert words in finding.summary
    assert "app.py:28 in look_up" in finding.summary
    assert finding.where[0].function == "look_up"
    assert finding.measured.value == pytest.approx(2.0, abs=0.03)
    assert scene.ever() == {"blocked-event-loop"}


TRIO = "/site-packages/trio/_core/_run.py"
IN_TRIO = (frame("unrolled_run", 2866, TRIO, "library"), frame("run", 2532, TRIO, "library"), frame("<module>", 60))


@pytest.mark.parametrize(("leaf", "named"), [
    (frame("handler", 28), True),
    (frame("Runner.reschedule", 1900, TRIO, "library"), False),  # trio's own doing
])  # fmt: skip
def test_a_loop_of_trio_is_blocked(leaf: Frame, named: bool) -> None:
    scene = Scene()
    tid = scene.thread("loop", started_s=-100)
    poll = frame("EpollIOManager.get_events", 243, "/site-packages/trio/_core/_io_epoll.py", "library")

    def script(at: float) -> None:
        if at % 2.5 < 2.0:
            scene.do(tid, [leaf, *IN_TRIO], SLEEP)
        else:
            scene.do(tid, [poll, *IN_TRIO], SELECT)

    scene.play(8, script)
    finding = scene.found("blocked-event-loop")
    assert (finding is not None) == named
    assert finding is None or "await trio.sleep(seconds)" in finding.fix


def test_a_loop_that_waits_for_its_own_coroutine_is_told_to_await_it() -> None:
    scene = Scene()
    leaf = frame("get_user", 28, text="return run_coroutine_threadsafe(fetch(), loop).result()")
    scene.play(8, loop(scene, 2.0, 0.5, waits_for(via="Future.result"), leaf))
    finding = scene.found("blocked-event-loop")
    assert finding is not None and finding.fix.startswith("Await it")


def test_a_loop_that_waits_for_a_lock_of_threads_is_told_to_use_its_own() -> None:
    scene = Scene()
    leaf = frame("update", 28, text="with self._lock:")
    scene.play(8, loop(scene, 2.0, 0.5, waits_for(7), leaf))
    finding = scene.found("blocked-event-loop")
    assert finding is not None and "make it asyncio.Lock" in finding.fix


def test_blocking_call_is_named_within_five_seconds() -> None:
    scene = Scene()
    scene.play(5, loop(scene, 2.0, 0.5, recv(), frame("look_up", 28)))
    assert scene.first("blocked-event-loop", "warn") is not None


def test_a_short_block_is_an_information_and_many_are_a_warning() -> None:
    scene = Scene()
    scene.play(8, loop(scene, 0.2, 4.0, recv(), frame("look_up", 28)))
    finding = scene.found("blocked-event-loop")
    assert finding is not None
    assert finding.severity is Severity.INFO
    scene = Scene()
    scene.play(8, loop(scene, 0.2, 0.3, recv(), frame("look_up", 28)))
    finding = scene.found("blocked-event-loop")
    assert finding is not None
    assert finding.severity is Severity.WARN


@pytest.mark.parametrize(
    ("blocked", "free", "inside"), [(0.02, 0.03, RUNNING), (0.05, 0.5, recv()), (0.01, 0.2, SLEEP)]
)
def test_short_callbacks_are_silent(blocked: float, free: float, inside: Wait) -> None:
    scene = Scene()
    scene.play(12, loop(scene, blocked, free, inside, frame("look_up", 28)))
    assert scene.ever() == set()


def test_a_busy_loop_of_short_calls_is_silent() -> None:
    """Seen in its one handler 90 % of the time, by chance for many samples in a row."""
    scene = Scene()
    scene.play(20, loop(scene, 0.09, 0.01, RUNNING, frame("parse", 28), jitter=1.0))
    assert scene.ever() == set()


def test_short_blocking_calls_in_a_row_are_not_glued_together() -> None:
    """One handler after the other, each 20 ms in a blocking call: no sample falls in between, but the kernel counts."""
    scene = Scene()
    tid = scene.thread("loop", started_s=-100)

    def script(at: float) -> None:
        scene.do(tid, in_loop(frame("look_up", 28)), recv())
        if round(at * 100) % 2 == 0:
            scene.switch(tid)
            scene.used(tid, 100_000)

    scene.play(9, script)
    assert "blocked-event-loop" not in scene.ever()


def test_long_computations_back_to_back_fire() -> None:
    scene = Scene()
    scene.play(12, loop(scene, 0.3, 0.01, RUNNING, frame("parse", 28)))
    finding = scene.found("blocked-event-loop")
    assert finding is not None
    assert "computes" in finding.summary


def test_waiting_for_the_gil_is_not_blocking() -> None:
    scene = Scene()
    scene.play(8, loop(scene, 2.0, 0.5, GIL, frame("handler2", 28)))
    assert "blocked-event-loop" not in scene.ever()


def test_waiting_for_a_cpu_is_not_blocking() -> None:
    scene = Scene()
    script = loop(scene, 2.0, 0.5, RUNNING, frame("handler3", 28))
    scene.starve(101, 0.8, False)
    scene.play(8, script)
    assert "blocked-event-loop" not in scene.ever()


def test_the_first_second_is_forgiven() -> None:
    scene = Scene()
    tid = scene.thread("MainThread", started_s=0.0)

    def script(at: float) -> None:
        if at < 0.95:
            scene.do(tid, in_loop(frame("load", 5), HANDLER), recv())
        else:
            scene.do(tid, list(IDLE_LOOP), SELECT)

    scene.play(6, script)
    assert scene.ever() == set()


def test_a_thread_without_a_loop_may_block() -> None:
    scene = Scene()
    tid = scene.thread("worker")
    scene.do(tid, [frame("look_up", 28), frame("worker", 3)], recv())
    scene.play(6)
    assert scene.ever() == set()


def test_a_slow_rate_does_not_make_blocks() -> None:
    """At 10 Hz one sample stands for 0.1 s."""
    scene = Scene(hz=10)
    scene.play(15, loop(scene, 0.1, 0.6, recv(), frame("look_up", 28)))
    assert scene.ever() == set()


def test_a_loop_in_its_own_wait_is_in_no_callback() -> None:
    """Whatever stack was read with it: that is of a moment before."""
    scene = Scene()
    tid = scene.thread("MainThread")
    scene.play(8, lambda at: scene.do(tid, in_loop(frame("app", 18), HANDLER), SELECT if at % 2 < 1.7 else RUNNING))
    assert "blocked-event-loop" not in {f.id for f in scene.judgement.findings if f.severity is Severity.WARN}
