"""The rules about how work is handed out: what they fire on, and what only looks like it."""

from __future__ import annotations

import re

import pytest
from build import DB, GIL, RUNNING, SLEEP, START_NS, Scene, frame, recv, stdlib, waits_for

from concview.catalogue.rules import connection_starvation, pool_per_call, straggler, thread_leak, thundering_herd
from concview.model import Frame, Site, Switches

WORKER = stdlib("_worker", "concurrent/futures/thread.py")
IDLE = waits_for(7, via="SimpleQueue.get", kind="Lock")


def _scene(rule: object) -> Scene:
    return Scene(rules={"it": rule})  # type: ignore[dict-item]


# ---------------------------------------------------------------- thundering-herd


@pytest.mark.parametrize(("handed", "spread", "fires"), [(False, 0.0, True), (True, 0.0, False), (False, 0.06, False)])
def test_a_herd_comes_together_and_from_elsewhere(handed: bool, spread: float, fires: bool) -> None:
    """Sixteen come within a moment; or are sent by a pool; or come one after another."""
    scene = _scene(thundering_herd.RULE)
    tids = [scene.thread(f"web-{n}") for n in range(16)]

    def script(at: float) -> None:
        for number, tid in enumerate(tids):
            if (at + number * spread) % 1.0 < 0.2:
                scene.do(tid, [frame("ask", 43)], recv())
            elif handed:
                scene.do(tid, [WORKER], IDLE)
            else:
                scene.do(tid, [frame("work", 60)], SLEEP)

    scene.play(8, script)
    found = scene.found("thundering-herd")
    assert (found is not None) == fires
    if found is not None:
        assert found.measured.value == 16 and DB.name in found.summary and found.where[0].line == 43


def test_a_herd_came_when_the_kernel_says_it_did() -> None:
    """Samples say it to 10 ms, records to the microsecond, and who had woken them; not where one of them is missing."""
    for recorded in (15, 16):
        scene = _scene(thundering_herd.RULE)
        tids = [scene.thread(f"web-{n}") for n in range(16)]
        waker = scene.thread("timer")

        def script(at: float, scene: Scene = scene, tids: list[int] = tids) -> None:
            for tid in tids:
                scene.do(
                    tid,
                    [frame("ask", 43)] if at % 1.0 < 0.2 else [frame("work", 60)],
                    recv() if at % 1.0 < 0.2 else SLEEP,
                )

        scene.play(3, script)
        begun = [n for i, tid in enumerate(tids[:recorded]) for n in (START_NS + 10**9 + 100_000 * i, tid, waker)]
        scene.history.apply(Switches(START_NS + 2 * 10**9, START_NS + 10**9, (), 0, 0, "", tuple(begun)))
        scene.play(5, script)
        found = scene.found("thundering-herd")
        assert found is not None
        said = "(the largest within 1.5 ms, woken by timer, by the kernel's records)"
        assert (said in found.summary) == (recorded == 16), found.summary


@pytest.mark.parametrize(("handed", "spread", "alone", "fires"), [
    (False, 0.002, False, True),
    (True, 0.002, False, False),  # a pool sends them
    (False, 0.13, False, False),  # one after the other
    (False, 0.002, True, False),  # one makes it, the others go on
])  # fmt: skip
def test_a_value_that_everybody_makes_at_once(handed: bool, spread: float, alone: bool, fires: bool) -> None:
    """Eight threads compute in turns, for the same line has called them."""
    scene = _scene(thundering_herd.RULE)
    tids = [scene.thread(f"web-{n}") for n in range(8)]
    inner = [frame("render", 8), frame("render", 9)]

    def script(at: float) -> None:
        for number, tid in enumerate(tids):
            if 0.3 < (at - number * spread) % 2.0 < 1.0 and (not alone or number == 0):
                stack = [inner[int(at * 20) % 2], frame("get", 14), frame("serve", 20)]
                scene.do(tid, stack, RUNNING if (int(at * 100) + number) % 8 == 0 else GIL)
            elif handed and number % 2:
                scene.do(tid, [WORKER], IDLE)
            elif handed:
                scene.do(
                    tid, [stdlib("Barrier.wait", "threading.py"), frame("cell", 3)], waits_for(9, via="Barrier.wait")
                )
            else:
                scene.do(tid, [frame("serve", 20)], SLEEP)

    scene.play(9, script)
    found = scene.found("thundering-herd")
    assert (found is not None) == fires
    if found is not None:
        assert found.measured.value == 8 and "in app.py:14" in found.summary and str(found.severity) == "info"
        assert set(found.threads) == set(tids)


# ---------------------------------------------------------------- straggler


@pytest.mark.parametrize(("slow", "joined", "fires"), [(0.4, True, True), (0.4, False, False), (0.12, True, False)])
def test_a_straggler_is_waited_for(slow: float, joined: bool, fires: bool) -> None:
    scene = _scene(straggler.RULE)
    main = scene.thread("MainThread")
    tids = [scene.thread(f"copy_{n}") for n in range(4)]

    def script(at: float) -> None:
        wait = waits_for(9, via="Future.result") if joined else SLEEP
        scene.do(main, [frame("main", 90)], wait)
        for number, tid in enumerate(tids):
            if at % 0.5 < (slow if number == 0 else 0.1):
                scene.do(tid, [frame("copy", 27), WORKER], SLEEP)
            else:
                scene.do(tid, [WORKER], IDLE)

    scene.play(8, script)
    found = scene.found("straggler")
    assert (found is not None) == fires
    if found is not None:
        assert found.measured.value == pytest.approx(1 - 0.7 / 4 / 0.4, abs=0.05)
        assert found.where[0].function == "copy" and "MainThread" in found.summary


# ---------------------------------------------------------------- connection-starvation


def _line(how: str, line: int) -> Frame:
    site = Site("connections", "/srv/app.py", 36, "serve", "app.py", how) if how else None
    return Frame("serve", "/srv/app.py", line, checkout=site)


@pytest.mark.parametrize(("how", "fires"), [("get", True), ("", False)])
def test_a_checkout_is_not_a_wait_for_work(how: str, fires: bool) -> None:
    scene = _scene(connection_starvation.RULE)
    tids = [scene.thread(f"web-{n}") for n in range(8)]
    get = [stdlib("Condition.wait", "threading.py"), stdlib("Queue.get", "queue.py"), _line(how, 36)]

    def script(at: float) -> None:
        turn = int(at * 5) * 2
        for number, tid in enumerate(tids):
            if (number - turn) % 8 < 2:
                scene.do(tid, [_line("kept" if how else "", 38)], SLEEP)
            else:
                scene.do(tid, get, waits_for(5, via="Queue.get"))

    scene.play(8, script)
    found = scene.found("connection-starvation")
    assert (found is not None) == fires
    if found is not None:
        assert found.measured.value == pytest.approx(6, abs=0.1)
        assert "at most 2 have one" in found.summary and "sleeping for 100 %" in found.summary


@pytest.mark.parametrize(("threads", "fires"), [(4, True), (2, False)])
def test_three_on_one_connection(threads: int, fires: bool) -> None:
    """Two may be a reader and a writer."""
    scene = _scene(connection_starvation.RULE)
    tids = [scene.thread(f"web-{n}") for n in range(threads)]

    def script(at: float) -> None:
        for number, tid in enumerate(tids):
            busy = (at + number * 0.1) % 1 < 0.9
            scene.do(tid, [frame("ask", 12 if busy else 13)], recv() if busy else SLEEP)

    scene.play(8, script)
    found = scene.found("connection-starvation")
    assert (found is not None) == fires
    assert found is None or DB.name in found.title


def _library(function: str, file: str, line: int = 1) -> Frame:
    return Frame(function, f"/usr/lib/python3/site-packages/{file}", line, "", "library")


def test_a_pool_of_sqlalchemy() -> None:
    """Two have come past the line at which eight wait, and render."""
    scene = _scene(connection_starvation.RULE)
    tids = [scene.thread(f"web-{n}") for n in range(10)]
    wait = [stdlib("Condition.wait", "threading.py"), _library("QueuePool._do_get", "sqlalchemy/pool/impl.py"),
            _library("Engine.connect", "sqlalchemy/engine/base.py"), frame("page", 10), frame("serve", 14)]  # fmt: skip
    keep = [frame("render", 8), frame("page", 12), frame("serve", 14)]

    def script(at: float) -> None:
        for number, tid in enumerate(tids):
            has_one = (number + int(at * 5)) % 10 < 2
            scene.do(tid, keep if has_one else wait, SLEEP if has_one else waits_for(timed=True))

    scene.play(8, script)
    found = scene.found("connection-starvation")
    assert found is not None
    assert found.title == "8 of 10 threads queue for a connection of SQLAlchemy's pool"
    said = "10 threads (web-*) seem to have one in turn, 2.0 at a time, mostly sleeping (100 % of that time)"
    assert said in found.summary
    assert found.where[0].line == 10 and [s.role for s in found.stacks] == ["holder", "waiter", "waiter", "waiter"]
    assert "pool_size=10" in found.fix and "given back before 100 % of the time is spent sleeping" in found.gain


def test_a_pool_of_urllib3_keeps_a_connection_for_one_request() -> None:
    scene = _scene(connection_starvation.RULE)
    tids = [scene.thread(f"fetch-{n}") for n in range(6)]
    asks = [_library("HTTPConnectionPool.urlopen", "urllib3/connectionpool.py"), frame("fetch", 16)]
    waits = [stdlib("Condition.wait", "threading.py"), stdlib("Queue.get", "queue.py"),
             _library("HTTPConnectionPool._get_conn", "urllib3/connectionpool.py"), *asks]  # fmt: skip
    uses = [_library("HTTPConnectionPool._make_request", "urllib3/connectionpool.py"), *asks]

    def script(at: float) -> None:
        for number, tid in enumerate(tids):
            has_one = (number + int(at * 5)) % 6 < 1
            # Woken for a moment within the wait, it has none yet.
            woken = not has_one and round(at * 100) % 9 == 0
            wait = recv() if has_one else RUNNING if woken else waits_for()
            scene.do(tid, uses if has_one else waits, wait)

    scene.play(8, script)
    found = scene.found("connection-starvation")
    assert found is not None
    assert f"mostly waiting for data from {DB.name} (100 % of that time)" in found.summary
    assert "PoolManager(maxsize=10" in found.fix and "given back" not in found.gain
    assert found.check_next.startswith("How long does the other side take")


def test_a_transaction_of_redis_keeps_a_connection_until_it_ends() -> None:
    """Waits in WATCH; who has come past it renders, and speaks to the server for a moment."""
    scene = _scene(connection_starvation.RULE)
    tids = [scene.thread(f"web-{n}") for n in range(8)]
    waits = [stdlib("Condition.wait", "threading.py"), stdlib("Queue.get", "queue.py"),
             _library("BlockingConnectionPool.get_connection", "redis/connection.py"),
             _library("Pipeline.immediate_execute_command", "redis/client.py"),
             _library("Pipeline.watch", "redis/client.py"), frame("page", 8), frame("serve", 16)]  # fmt: skip
    reads = [
        _library("AbstractConnection.read_response", "redis/connection.py"),
        _library("Pipeline.immediate_execute_command", "redis/client.py"),
        frame("page", 9),
        frame("serve", 16),
    ]
    renders = [frame("render", 5), frame("page", 10), frame("serve", 16)]

    def script(at: float) -> None:
        for number, tid in enumerate(tids):
            if (number + int(at * 5)) % 8 >= 2:
                scene.do(tid, waits, waits_for())
            elif round(at * 100) % 10 == 0:
                scene.do(tid, reads, recv())
            else:
                scene.do(tid, renders, SLEEP)

    scene.play(8, script)
    found = scene.found("connection-starvation")
    assert found is not None
    assert found.title == "6 of 8 threads queue for a connection of redis's pool"
    assert re.search(
        r"seem to have one in turn, 2\.0 at a time, mostly sleeping \([89]\d % of that time\)", found.summary
    )
    assert "pipe.execute()" in found.fix and "given back before" in found.gain
    assert "Must it be kept" in found.check_next


# ---------------------------------------------------------------- thread-leak


@pytest.mark.parametrize(("every", "ends", "fires"), [(0.5, False, True), (0.5, True, False), (0.0, False, False)])
def test_a_leak_is_a_steady_rise_without_an_end(every: float, ends: bool, fires: bool) -> None:
    """One every half second; the same, but one ends; all at the start."""
    scene = _scene(thread_leak.RULE)
    tids: list[int] = []
    ended = 0

    def script(at: float) -> None:
        nonlocal ended
        while len(tids) < min(60, at / every if every else 60):
            tids.append(scene.thread(f"keeper-{len(tids)}", started_s=0.0))
            scene.do(tids[-1], [frame("keep_alive", 26)], waits_for(3, via="Event.wait"))
        if ends and at > 5 * (ended + 1):
            scene.gone(tids[ended])
            ended += 1

    scene.play(30, script)
    found = scene.found("thread-leak")
    assert (found is not None) == fires
    if found is not None:
        assert found.severity == "warn" and found.measured.value == 60


def test_what_a_leak_did_before_we_came_counts() -> None:
    """The kernel keeps when a thread was started."""
    scene = _scene(thread_leak.RULE)
    for number in range(60):
        tid = scene.thread(f"keeper-{number}", started_s=-5.0 * number)
        scene.do(tid, [frame("keep_alive", 26)], waits_for(3, via="Event.wait"))
    assert scene.play(9).pending[0].id == "thread-leak"
    scene.play(5)
    found = scene.found("thread-leak")
    assert found is not None and found.severity == "warn"


# ---------------------------------------------------------------- pool-per-call


@pytest.mark.parametrize(("per_pool", "name"), [(3, "ThreadPoolExecutor-{}_0"), (0, "render_0"), (0, "render_1")])
def test_pools_are_counted_by_their_workers(per_pool: int, name: str) -> None:
    """By the number in the name, of which most were not seen; or by the first worker of each."""
    scene = _scene(pool_per_call.RULE)
    made = 0
    last: list[int] = []

    def script(at: float) -> None:
        nonlocal made
        if int(at * 10) > made:
            made = int(at * 10)
            for tid in last:
                scene.gone(tid)
            last[:] = [scene.thread(name.format(made * per_pool), started_s=0.0)]
            scene.do(last[0], [frame("ask"), WORKER], SLEEP)

    scene.play(6, script)
    found = scene.found("pool-per-call")
    if name == "render_1":
        assert found is None
    else:
        assert found is not None
        assert found.measured.value == pytest.approx(30 if per_pool else 10, rel=0.1)


def test_workers_that_end_before_their_names_are_known_cannot_be_judged() -> None:
    """py-spy names threads later than a short-lived worker lives."""
    scene = _scene(pool_per_call.RULE)
    for _ in range(40):
        tid = scene.thread("python", started_s=0.0)
        scene.do(tid, [frame("ask"), WORKER], SLEEP)
        scene.play(0.1)
        scene.gone(tid)
    (refused,) = scene.judgement.not_applicable
    assert refused.id == "pool-per-call" and "names" in refused.why and "3.8" in refused.enable


def test_late_workers_of_old_pools_do_not_count() -> None:
    scene = _scene(pool_per_call.RULE)
    scene.play(2)
    for number in range(0, 400, 20):
        scene.do(scene.thread(f"ThreadPoolExecutor-{number}_3", started_s=0.0), [frame("ask"), WORKER], SLEEP)
        scene.play(0.2)
    assert scene.found("pool-per-call") is None
