"""Waits that lead back to who waits, or to nobody: jobs of the own pool, calls into event loops, locks that are tried
for again and again, a second connection to a database."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame, stdlib

from concview.analysis.blame.tracker import Tracker
from concview.analysis.jobs import LIBRARIES, Library, Role, job_of
from concview.analysis.window import Window
from concview.catalogue.rules.nested_executor_deadlock import RULE
from concview.model import FileLock, FileLocks, Frame, Severity, Stack, User, Wait, WaitKind
from concview.snapshot import Blame
from concview.source.wakes import Wakes

PACKAGES = "/v/lib/python3.12/site-packages"
EVENT = Wait(WaitKind.FUTEX, "futex", via="Event.wait")


def library(function: str, file: str, line: int = 1) -> Frame:
    return Frame(function, f"{PACKAGES}/{file}", line, "", "library")


def named(name: str) -> Library:
    return next(one for one in LIBRARIES if one.name == name)


EVENT_WAIT = [stdlib("Condition.wait", "threading.py"), stdlib("Event.wait", "threading.py")]
POOL_WORKER = [stdlib("worker", "multiprocessing/pool.py", 125), stdlib("Thread.run", "threading.py")]
POOL_RESULT = [
    *EVENT_WAIT,
    stdlib("ApplyResult.wait", "multiprocessing/pool.py", 765),
    stdlib("ApplyResult.get", "multiprocessing/pool.py", 768),
]
HANDS = [stdlib("ThreadPool._handle_results", "multiprocessing/pool.py", 579)]
HUEY = {
    "free": [stdlib("Condition.wait", "threading.py"), library("Huey.dequeue", "huey/api.py"),
             library("Worker.loop", "huey/consumer.py")],
    "awaits": [library("BaseStorage.wait_result", "huey/storage.py", 215), library("Result.get", "huey/api.py"),
               frame("count", 11), library("Huey._execute", "huey/api.py"), library("Worker.loop", "huey/consumer.py")],
    "busy": [frame("count", 9), library("Huey._execute", "huey/api.py"), library("Worker.loop", "huey/consumer.py")],
    "asks": [library("BaseStorage.wait_result", "huey/storage.py", 215), library("Result.get", "huey/api.py"),
             frame("main", 20)],
    "": [library("Scheduler.loop", "huey/consumer.py")],
}  # fmt: skip


def said(scene: Scene) -> Blame:
    found = Tracker(Wakes(lambda _: ())).blame(Window(scene.history))
    assert found is not None
    return found


def observed(scene: Scene) -> list[str]:
    return [o.title for o in RULE.observe(Window(scene.history)) if not o.needs]


@pytest.mark.parametrize("role", list(HUEY))
def test_what_a_thread_is_to_a_pool_is_told_by_its_stack(role: str) -> None:
    stack = Stack(tuple(HUEY[role]))
    assert job_of(stack, named("huey")) is (Role(role) if role else None)
    assert job_of(stack, named("celery")) is None


def test_a_broker_thread_of_dramatiq_is_no_worker() -> None:
    worker = library("_WorkerThread.run", "dramatiq/worker.py")
    consumer = [library("_StubConsumer.__next__", "dramatiq/brokers/stub.py"), library("run", "dramatiq/worker.py")]
    assert job_of(Stack((stdlib("Queue.get", "queue.py"), worker)), named("dramatiq")) is Role.FREE
    assert job_of(Stack(tuple(consumer)), named("dramatiq")) is None


@pytest.mark.parametrize("workers, free", [(3, 0), (3, 1)])
def test_a_thread_pool_whose_tasks_wait_for_its_own_tasks(workers: int, free: int) -> None:
    scene = Scene(rules={})
    scene.do(scene.thread("results"), HANDS, Wait(WaitKind.FUTEX, "futex", via="SimpleQueue.get"))
    for number in range(workers):
        scene.do(scene.thread(f"worker-{number}"), [*POOL_RESULT, frame("folder", 10), *POOL_WORKER], EVENT)
    for number in range(free):
        get = [stdlib("SimpleQueue.get", "queue.py"), *POOL_WORKER]
        scene.do(scene.thread(f"free-{number}"), get, Wait(WaitKind.FUTEX, "futex", via="SimpleQueue.get"))
    scene.play(8)
    found = said(scene)
    if free:
        assert found.severity is not Severity.WARN and not observed(scene)
    else:
        assert (found.verdict, found.severity) == ("stuck", Severity.WARN)
        assert "all 3 workers of a ThreadPool wait for results of tasks that no worker is left to run" in found.sentence
        assert observed(scene) == ["All 3 workers of a ThreadPool wait for other jobs"]


def test_a_pool_that_was_lost_at_a_fork_is_told() -> None:
    """The child has the pool's object, and none of the threads that serve it."""
    scene = Scene(rules={})
    scene.do(scene.thread("MainThread"), [*POOL_RESULT, frame("branch", 6), *POOL_WORKER[:1]], EVENT)
    scene.play(8)
    found = said(scene)
    assert (found.verdict, found.severity) == ("stuck", Severity.WARN)
    assert "the pool's own threads are not in this process" in found.sentence
    assert not observed(scene)


@pytest.mark.parametrize("busy", [0, 1])
def test_workers_that_look_again_and_again_for_a_result(busy: int) -> None:
    """A wait that is a pause before the next look is as long as all of them."""
    scene = Scene(rules={})
    waiting = [scene.thread(f"Worker-{n}") for n in range(2)]
    for n in range(busy):
        scene.do(scene.thread(f"Worker-busy-{n}"), HUEY["busy"], SLEEP)
    for turn in range(16):
        for tid in waiting:
            looks = [library("MemoryStorage.has_data_for_key", "huey/storage.py", 390 + turn % 2), *HUEY["awaits"]]
            scene.do(tid, looks if turn % 2 else HUEY["awaits"], SLEEP)
        scene.play(0.5)
    titles = observed(scene)
    if busy:
        assert not titles and "computed by Worker-busy" in str(said(scene).causes) + said(scene).sentence
    else:
        assert titles == ["All 2 workers of huey in this process wait for other jobs"]
        assert "all 2 workers of this process wait so: it takes another one" in said(scene).sentence


REACTOR = [library("runUntilCurrent", "twisted/internet/base.py"), library("mainLoop", "twisted/internet/base.py", 700)]
BLOCKING = [
    stdlib("Queue.get", "queue.py"),
    library("blockingCallFromThread", "twisted/internet/threads.py", 144),
    frame("tick", 6),
]
QUEUE = Wait(WaitKind.FUTEX, "futex", via="Queue.get")


def test_a_reactor_that_waits_for_itself() -> None:
    scene = Scene(rules={})
    scene.do(scene.thread("MainThread"), [*BLOCKING, *REACTOR], QUEUE)
    scene.play(8)
    found = said(scene)
    assert (found.verdict, found.severity) == ("stuck", Severity.WARN)
    assert "waits for what only the reactor can run, and that runs in this very thread (app.py:6" in found.sentence


def test_a_thread_that_waits_for_a_reactor_that_runs_is_not_stuck() -> None:
    scene = Scene(rules={})
    scene.do(scene.thread("MainThread"), REACTOR[1:], Wait(WaitKind.IO, "epoll_wait", 5))
    scene.do(scene.thread("worker"), BLOCKING, QUEUE)
    scene.play(8)
    assert said(scene).severity is not Severity.WARN


def test_a_loop_that_nobody_runs_is_told_although_the_wait_has_a_time_limit() -> None:
    """fsspec waits a second again and again."""
    scene = Scene(rules={})
    stack = [*EVENT_WAIT, library("sync", "fsspec/asyn.py", 94), frame("main", 12)]
    timed = Wait(WaitKind.FUTEX, "futex", via="Event.wait", timed=True)
    main = scene.thread("MainThread")
    for turn in range(8):
        scene.do(main, [*stack[:1], *stack] if turn % 2 else stack, timed)
        scene.play(1)
    found = said(scene)
    assert (found.verdict, found.severity) == ("stuck", Severity.WARN)
    assert "no thread of this process runs an event loop" in found.sentence


@pytest.mark.parametrize("pid, told", [(99, "held by process cron (pid 99)"), (0, "not seen who has it")])
def test_a_lock_on_a_file_that_is_tried_for_again_and_again(pid: int, told: str) -> None:
    scene = Scene(rules={})
    job = scene.thread("job")
    scene.do(scene.thread("other"), [*EVENT_WAIT, frame("rest", 90)], Wait(WaitKind.FUTEX, "futex", via="Event.wait"))
    lines = ("class Lock:", "    def acquire(self):", "        while not self.try_it():", "            time.sleep(1)")
    stack = [frame("Lock.acquire", 4), frame("work", 11)]
    scene.do(job, stack, SLEEP)
    scene.play(1)
    if pid:
        lock = FileLock("/tmp/x.lock", "flock", "WRITE", (job,), pid, "cron", polled=True)
        scene.history.apply(FileLocks(scene.history.now_ns, (lock,)))
    scene.play(8)
    found = Tracker(Wakes(lambda name: lines if name == stack[0].file else ())).blame(Window(scene.history))
    assert found is not None and told in found.sentence
    assert (found.verdict == "held up") == bool(pid)
    assert not pid or "the lock (Lock) on x.lock, tried for again and again" in found.sentence


@pytest.mark.parametrize("mine", [True, False])
def test_a_thread_that_waits_for_its_own_other_connection(mine: bool) -> None:
    asleep = Wait(WaitKind.SLEEP, "clock_nanosleep", via="native")
    scene = Scene(rules={})
    web, job = scene.thread("web"), scene.thread("job")
    scene.do(web, [frame("audit", 9, text="b.execute('insert into t values (1)')"), frame("order", 12)], asleep)
    scene.do(job, [frame("load", 5)], SLEEP)
    scene.play(1)
    assert scene.history.hello is not None
    user = User(web if mine else job, "local", "a", "order", "/srv/app.py", 12)
    lock = FileLock("/srv/a.db", "SQLite", "WRITE", (web,), scene.history.hello.target.pid, "", (user,))
    scene.history.apply(FileLocks(scene.history.now_ns, (lock,)))
    scene.play(8)
    found = said(scene)
    assert (found.verdict == "stuck") == mine
    assert not mine or "this thread has it itself, by another connection" in found.sentence


@pytest.mark.parametrize("timed", [True, False])
def test_a_librarys_own_thread_that_waits_for_a_slot_keeps_nobody(timed: bool) -> None:
    """A broker's thread, whose slots are out: another one, of another queue, only looks alike."""
    scene = Scene(rules={})
    for queue, line in (("orders", 220), ("dead", 224)):
        tid = scene.thread(queue)
        at = library("_StubConsumer.__next__", "dramatiq/brokers/stub.py", line)
        via = "Semaphore.acquire" if line == 220 else "Queue.get"
        scene.do(
            tid,
            [at, library("_ConsumerThread.run", "dramatiq/worker.py")],
            Wait(WaitKind.FUTEX, "futex", via=via, timed=timed),
        )
    scene.play(8)
    found = said(scene)
    assert (found.verdict == "idle") == timed
