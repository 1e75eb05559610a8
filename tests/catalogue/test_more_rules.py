"""The rules beyond the first six: fire, stay silent, and what only looks like them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import GIL, RUNNING, SLEEP, START_NS, Scene, frame, holds, recv, site, stdlib, waits_for

from concview.analysis.window import Window
from concview.catalogue.rules import missing_timeout
from concview.model import (
    Confidence,
    Counters,
    Frame,
    Hold,
    Link,
    Links,
    Owner,
    Peer,
    Severity,
    Target,
    Wait,
    WaitKind,
)

STOCK, ORDERS, GATE = site("stock", 40, "sell"), site("orders", 44, "sell"), site("gate", 38, "sell")
RESULT = [stdlib("Condition.wait", "threading.py"), stdlib("Future.result", "concurrent/futures/_base.py")]
WORKER = [stdlib("_WorkItem.run", "concurrent/futures/thread.py"), stdlib("_worker", "concurrent/futures/thread.py")]


def _hold(address: int, of: object) -> Hold:
    return holds(address, of)[0]  # type: ignore[arg-type]


# ---------------------------------------------------------------- order of locks


def both(scene: Scene, inverted: bool, gate: bool = False) -> Callable[[float], None]:
    """Two threads that take two locks at different moments; `inverted`: one of them the other way round."""
    one, two = scene.thread("selling"), scene.thread("returning")
    around = (_hold(0xC0, GATE),) if gate else ()

    def script(at: float) -> None:
        second = (ORDERS, STOCK) if inverted else (STOCK, ORDERS)
        for tid, offset, order in ((one, 0.0, (STOCK, ORDERS)), (two, 0.1, second)):
            phase = (at + offset) % 0.2
            address = {STOCK: 0xA0, ORDERS: 0xB0}
            outer, inner = (_hold(address[s], s) for s in order)
            if phase < 0.02:
                scene.do(tid, [frame("count", 32), frame("sell", 43)], SLEEP, (outer, *around))
            elif phase < 0.05:
                scene.do(tid, [frame("book", 36), frame("sell", 45)], SLEEP, (inner, outer, *around))
            else:
                scene.do(tid, [frame("sell", 41)], SLEEP)

    return script


def test_lock_order_inversion_fires() -> None:
    scene = Scene()
    scene.play(4, both(scene, inverted=True))
    finding = scene.found("lock-order-inversion")
    assert finding is not None
    assert (finding.severity, finding.confidence) == (Severity.WARN, Confidence.EXACT)
    assert "selling takes orders while it holds stock" in finding.summary
    assert "returning takes stock while it holds orders" in finding.summary
    assert len(finding.stacks) == 2
    assert scene.ever() == {"lock-order-inversion"}


@pytest.mark.parametrize(("inverted", "gate"), [(False, False), (True, True)])
def test_one_order_or_a_common_outer_lock_is_silent(inverted: bool, gate: bool) -> None:
    scene = Scene()
    scene.play(6, both(scene, inverted, gate))
    assert scene.ever() == set()


def test_a_deadlock_explains_its_inversion() -> None:
    scene = Scene()
    one, two = scene.thread("a"), scene.thread("b")
    scene.play(3, both(scene, inverted=True))
    scene.do(one, [frame("sell", 44, acquires=ORDERS)], waits_for(0xB0), holds(0xA0, STOCK))
    scene.do(two, [frame("give", 53, acquires=STOCK)], waits_for(0xA0), holds(0xB0, ORDERS))
    scene.play(4)
    assert [f.id for f in scene.judgement.findings] == ["deadlock"]


# ---------------------------------------------------------------- logging


def logging_threads(scene: Scene, workers: int, write: float, rest: float) -> Callable[[float], None]:
    tids = [scene.thread(f"worker-{n}") for n in range(workers)]
    taken = site("self.lock", 927, "Handler.acquire", "logging/__init__.py::Handler")
    handle = stdlib("Handler.handle", "logging/__init__.py", 976)
    acquire = Frame("Handler.acquire", "/usr/lib/python3/logging/__init__.py", 927, "", "stdlib", (), taken)
    emit = stdlib("StreamHandler.emit", "logging/__init__.py", 1113)
    period = workers * write + rest

    def script(at: float) -> None:
        phase = at % period
        for n, tid in enumerate(tids):
            if n * write <= phase < (n + 1) * write:
                wait = Wait(recv().kind, "write", 1)
                scene.do(tid, [emit, handle, frame("work", 37)], wait, holds(0xA0, taken, "RLock"))
            elif phase < n * write:
                scene.do(tid, [acquire, handle, frame("work", 37)], waits_for(0xA0, kind="RLock"))
            else:
                scene.do(tid, [frame("work", 38)], SLEEP)

    return script


def test_slow_logging_fires_instead_of_the_general_rules() -> None:
    scene = Scene()
    scene.play(6, logging_threads(scene, 6, 0.02, 0.03))
    finding = scene.found("slow-logging")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert "app.py:37 in work" in finding.summary
    assert scene.ever() == {"slow-logging"}


def test_quick_logging_is_silent() -> None:
    scene = Scene()
    scene.play(6, logging_threads(scene, 1, 0.01, 0.2))
    assert scene.ever() == set()


# ---------------------------------------------------------------- pools that wait for themselves


def pool(scene: Scene, waiting: int, *others: list[Frame]) -> None:
    for n in range(waiting):
        tid = scene.thread(f"worker_{n}")
        scene.do(tid, [*RESULT, frame("order", 32), *WORKER], waits_for(0xA0 + n, via="Future.result"))
    for n, stack in enumerate(others):
        scene.do(scene.thread(f"worker_{waiting + n}"), stack, waits_for(0xF0))


def test_a_pool_that_waits_for_itself() -> None:
    scene = Scene()
    pool(scene, 4)
    scene.play(4)
    finding = scene.found("nested-executor-deadlock")
    assert finding is not None
    assert (finding.severity, finding.confidence) == (Severity.WARN, Confidence.INFERRED)
    assert "All 4 workers of pool worker" in finding.summary
    assert finding.where[0].function == "order"
    assert scene.ever() == {"nested-executor-deadlock"}


@pytest.mark.parametrize(
    "other",
    [
        [frame("part", 24), *WORKER],  # one works
        [stdlib("_worker", "concurrent/futures/thread.py")],  # one is free
        [stdlib("wait_result_broken_or_wakeup", "concurrent/futures/process.py")],  # processes may be at it
    ],
)
def test_a_pool_that_can_go_on_is_silent(other: list[Frame]) -> None:
    scene = Scene()
    pool(scene, 3, other)
    scene.play(6)
    assert scene.ever() == set()


# ---------------------------------------------------------------- collector, convoy, polling


def test_gc_storm() -> None:
    scene = Scene()
    tid = scene.thread("web-0")

    def script(at: float) -> None:
        scene.collecting = at % 0.1 < 0.04
        scene.do(tid, [frame("request", 35)], RUNNING if scene.collecting else SLEEP)

    scene.play(5, script)
    finding = scene.found("gc-storm")
    assert finding is not None
    assert finding.measured.value == pytest.approx(0.4, abs=0.02)
    assert scene.ever() == {"gc-storm"}


@pytest.mark.parametrize(("share", "text"), [(0.02, ""), (0.4, "gc.collect()")])
def test_rare_or_wanted_collections_are_silent(share: float, text: str) -> None:
    scene = Scene()
    tid = scene.thread("web-0")

    def script(at: float) -> None:
        scene.collecting = at % 0.5 < share * 0.5
        scene.do(tid, [frame("clean", 35, text=text)], RUNNING if scene.collecting else SLEEP)

    scene.play(8, script)
    assert scene.ever() == set()


def test_a_finalizer_that_blocks_is_no_collection() -> None:
    """The collecting flag is set, and the GIL is free: the collector waits in Python code."""
    scene = Scene()
    tid, other = scene.thread("rpc"), scene.thread("compute")

    def script(at: float) -> None:
        scene.collecting = True
        scene.do(tid, [frame("Handle.__del__", 35), frame("rpc", 12)], recv())
        scene.do(other, [frame("compute", 40)], RUNNING if at % 0.1 < 0.05 else SLEEP)

    scene.play(6, script)
    assert "gc-storm" not in scene.ever()


def convoy(scene: Scene, hog: bool) -> Callable[[float], None]:
    tids = [scene.thread(f"ask-{n}") for n in range(4)]
    computing = scene.thread("report")

    def script(at: float) -> None:
        scene.do(computing, [frame("report", 26)], RUNNING if hog else SLEEP)
        for n, tid in enumerate(tids):
            phase = int(at * 100 + n * 3) % 10
            wait = GIL if hog and phase < 8 else recv() if phase == 8 else SLEEP
            scene.switch(tid)
            scene.do(tid, [frame("ask", 41)], wait)

    return script


def test_gil_convoy() -> None:
    scene = Scene()
    scene.play(5, convoy(scene, hog=True))
    finding = scene.found("gil-convoy")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert "4 threads (ask-*)" in finding.summary
    assert "report computes in app.py:26 in report" in finding.summary
    assert scene.ever() == {"gil-convoy"}


def test_asking_without_a_hog_is_silent() -> None:
    scene = Scene()
    scene.play(6, convoy(scene, hog=False))
    assert scene.ever() == set()


@pytest.mark.parametrize(
    "text", ["jobs.get_nowait()", "while not stop: pass", "if lock.acquire(False):", "time.sleep(0)"]
)
def test_busy_wait(text: str) -> None:
    scene = Scene()
    tid = scene.thread("worker-0")
    scene.play(4, lambda at: scene.do(tid, [frame("work", 27, text=text)], RUNNING if int(at * 100) % 3 else SLEEP))
    finding = scene.found("busy-wait")
    assert finding is not None
    assert "app.py:27 in work" in finding.summary
    assert finding.severity is Severity.WARN


@pytest.mark.parametrize(("rounds", "rests", "spins"), [(7, False, True), (3, False, False), (7, True, False)])
def test_a_loop_that_selects_and_does_nothing_about_it(rounds: int, rests: bool, spins: bool) -> None:
    """Of ten samples so many are in the selector; the others are in the loop, which may also rest."""
    scene = Scene()
    tid = scene.thread("pump")
    asks = [stdlib("EpollSelector.select", "selectors.py"), frame("pump", 7, text="for key, _ in selector.select(1):")]

    def script(at: float) -> None:
        phase = int(at * 100) % 10
        if rests and phase == 0:
            scene.do(tid, asks, Wait(WaitKind.IO, "epoll_wait", 4, timed=True))
        else:
            scene.do(tid, asks if phase < rounds else [frame("pump", 8, text="data = key.fileobj.recv(99)")], RUNNING)

    scene.play(6, script)
    found = scene.found("busy-wait")
    assert (found is not None) is spins
    if found is not None:
        assert "app.py:7 in pump" in found.summary and "ready each time" in found.summary


def test_what_a_library_calls_select_is_no_poll() -> None:
    scene = Scene()
    tid = scene.thread("query")
    inside = Frame("DataFrame.select", "/lib/site-packages/tables/frame.py", 9, origin="library")
    scene.play(6, lambda at: scene.do(tid, [inside, frame("report", 7, text="rows = table.select(wanted)")], RUNNING))
    assert scene.found("busy-wait") is None


def test_computing_and_slow_polling_are_silent() -> None:
    scene = Scene()
    tid, other = scene.thread("worker-0"), scene.thread("poller")

    def script(at: float) -> None:
        scene.do(tid, [frame("work", 27, text="total += x * x")], RUNNING)
        scene.do(other, [frame("poll", 9, text="time.sleep(0.1)")], SLEEP)

    scene.play(6, script)
    assert scene.ever() == set()


# ---------------------------------------------------------------- threads, CPU, descriptors, timeouts


def churn(scene: Scene, per_second: int, life: float) -> Callable[[float], None]:
    scene.do(scene.thread("MainThread"), [frame("main", 2)], SLEEP)
    alive: list[tuple[float, int]] = []

    def script(at: float) -> None:
        while alive and alive[0][0] <= at:
            scene.gone(alive.pop(0)[1])
        if int(at * 100) % (100 // per_second) == 0:
            tid = scene.thread(f"Thread-{int(at * 100)} (handle)", started_s=0.0)
            scene.do(tid, [frame("handle", 25)], SLEEP)
            alive.append((at + life, tid))

    return script


def test_thread_churn() -> None:
    scene = Scene()
    scene.play(6, churn(scene, 50, 0.03))
    finding = scene.found("thread-churn")
    assert finding is not None
    assert "50 threads a second" in finding.summary
    assert finding.where[0].function == "handle"


@pytest.mark.parametrize(("per_second", "life"), [(5, 0.03), (20, 3.0)])
def test_few_or_lasting_threads_are_silent(per_second: int, life: float) -> None:
    scene = Scene()
    scene.play(6, churn(scene, per_second, life))
    assert scene.found("thread-churn") is None


@pytest.mark.parametrize("throttled", [True, False])
def test_cpu_starvation(throttled: bool) -> None:
    scene = Scene()
    tid = scene.thread("service")
    scene.do(tid, [frame("serve", 34)])
    scene.starve(tid, 0.75, throttled)
    scene.play(5)
    finding = scene.found("cpu-starvation")
    assert finding is not None
    assert finding.measured.value == pytest.approx(0.75, abs=0.05)
    assert ("throttled" if throttled else "taken by other processes") in finding.summary
    assert finding.severity is (Severity.WARN if throttled else Severity.INFO)


def test_enough_cpu_is_silent() -> None:
    scene = Scene()
    tid = scene.thread("service")
    scene.do(tid, [frame("serve", 34)])
    scene.starve(tid, 0.05, False)
    scene.play(6)
    assert scene.ever() == set()


@pytest.mark.parametrize(("fds", "severity"), [(60, None), (85, Severity.INFO), (97, Severity.WARN)])
def test_fd_saturation(fds: int, severity: Severity | None) -> None:
    scene = Scene(target=Target(1, "3.13.0", ("python",), 0.0, fd_limit=100, cpus=2.0))
    tid = scene.thread("main")
    scene.do(tid, [frame("request", 28, text="file = open(path)")])
    scene.fds = fds
    scene.play(4)
    finding = scene.found("fd-saturation")
    assert (finding.severity if finding else None) == severity
    assert finding is None or finding.where[0].function == "request"


@pytest.mark.parametrize(
    ("wait", "moving", "severity"),
    [
        (recv(), False, Severity.WARN),
        (recv(), True, None),
        (Wait(recv().kind, "poll", 7, recv().peer, timed=True), False, None),
    ],
)
def test_missing_timeout(wait: Wait, moving: bool, severity: Severity | None) -> None:
    scene = Scene(hz=5)
    tid = scene.thread("worker-0")

    def script(at: float) -> None:
        scene.do(tid, [frame("ask", 29)], wait)
        if moving:
            scene.switch(tid)

    scene.play(20, script)
    assert scene.ever() == set()
    scene.play(20, script)
    finding = scene.found("missing-timeout")
    assert (finding.severity if finding else None) == (Severity.INFO if severity else None)
    scene.play(90, script)
    finding = scene.found("missing-timeout")
    assert (finding.severity if finding else None) == severity
    assert finding is None or "worker-0 has been waiting for data from 127.0.0.1:5432" in finding.summary


PIPE = stdlib("Connection._recv", "multiprocessing/connection.py")


@pytest.mark.parametrize(
    ("peer", "frames"),
    [
        # a server that waits for its client's next request, on a connection that came in
        (Peer("tcp", "10.0.0.7:51000", "10.0.0.1:80", "ESTABLISHED", accepted=True), [frame("serve", 29)]),
        # a pair of sockets between a process and its child
        (Peer("unix", "unix:[4711]", status="ESTABLISHED"), [PIPE, frame("worker", 12)]),
    ],
)
def test_waiting_for_work_needs_no_timeout(peer: Peer, frames: list[Frame]) -> None:
    scene = Scene(hz=5)
    tid = scene.thread("worker-0")
    scene.play(60, lambda at: scene.do(tid, frames, recv(7, peer)))
    assert scene.ever() == set()
    assert all(p.id != "missing-timeout" or not p.subject for p in scene.judgement.pending)


@pytest.mark.parametrize("asks", [False, True])
def test_who_takes_what_anybody_sends_lacks_no_answer(asks: bool) -> None:
    lines = [
        "def serve():",
        "    while True:",
        "        s.sendto(b'?', to)" if asks else "        pass",
        "        s.recvfrom(9)",
    ]
    scene = Scene(hz=5)
    tid, peer = scene.thread("syslog"), Peer("udp", "10.0.0.1:514", "10.0.0.1:514", "unconnected")
    scene.play(60, lambda at: scene.do(tid, [frame("serve", 4)], recv(7, peer)))
    found = list(missing_timeout.RULE.observe(Window(scene.history, lines_of=lambda _: lines)))
    assert bool(found) is asks


@pytest.mark.parametrize("owners", [(), (Owner(60, "server"),)])
def test_a_pair_of_sockets_that_only_this_process_has_needs_no_timeout(owners: tuple[Owner, ...]) -> None:
    scene = Scene(hz=5)
    tid, peer = scene.thread("main"), Peer("unix", "unix:[4711]", status="ESTABLISHED")

    def script(at: float) -> None:
        scene.do(tid, [frame("until_told", 29)], recv(7, peer))
        link = Link(7, "unix", (tid,), 4710, True, (8,), 4711, owners=owners, complete=True)
        scene.history.apply(Links(scene.history.now_ns, (link,)))

    scene.play(60, script)
    assert bool(list(missing_timeout.RULE.observe(Window(scene.history)))) is bool(owners)


def test_a_long_wait_is_told_before_it_is_a_finding() -> None:
    scene = Scene(hz=20)
    tid = scene.thread("worker-0")
    scene.play(10, lambda at: scene.do(tid, [frame("ask", 29)], recv()))
    said = [p.needs for p in scene.judgement.pending if p.id == "missing-timeout"]
    assert said
    assert "worker-0" in said[0]
    assert "127.0.0.1:5432" in said[0]


def test_missing_timeout_lists_the_peers_of_one_line() -> None:
    """Sixty-six workers that wait for forty peers are one thing to repair."""
    scene = Scene(hz=5)
    workers = [scene.thread(f"worker-{n}") for n in range(66)]

    def script(at: float) -> None:
        for n, tid in enumerate(workers):
            if at >= n * 0.1:
                peer = Peer("tcp", f"10.0.0.{n % 40}:5432", status="ESTABLISHED")
                scene.do(tid, [frame("ask", 29)], recv(7 + n, peer))

    scene.play(50, script)
    found = [f for f in scene.judgement.findings if f.id == "missing-timeout"]
    assert [f.title for f in found] == ["Waiting for 40 peers without a time limit"]
    assert found[0].summary.startswith("66 threads (worker-*) have been waiting for 40 peers in app.py:29 in ask for 4")
    assert found[0].summary.endswith(
        "They are 10.0.0.0:5432, 10.0.0.1:5432, 10.0.0.2:5432, 10.0.0.3:5432, 10.0.0.4:5432, …."
    )
    assert len(found[0].threads) == 66


def test_the_scene_counts() -> None:
    scene = Scene()
    assert scene.now_ns == START_NS
    assert isinstance(scene.history.counters, Counters)
