"""The rules about queues and pools: what they see, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import RUNNING, SLEEP, Scene, frame, recv, stdlib, waits_for

from concview.analysis.known_places import POOLS
from concview.analysis.window import Window
from concview.catalogue.rules import _pools
from concview.catalogue.rules._queues import users
from concview.model import Depths, Frame, PoolDepth, QueueDepth, Severity, Stack, Wait

ADDRESS = 0xA0
PUT = [stdlib("Condition.wait", "threading.py"), stdlib("Queue.put", "queue.py")]
GET = [stdlib("Condition.wait", "threading.py"), stdlib("Queue.get", "queue.py")]
WORKER = [stdlib("_worker", "concurrent/futures/thread.py"), stdlib("Thread.run", "threading.py")]
RUN = Frame("_WorkItem.run", "/usr/lib/python3/concurrent/futures/thread.py", 58, "result = self.fn(*args)", "stdlib")


def putting(wait: bool = True) -> tuple[list[Frame], Wait]:
    stack = [*(PUT if wait else PUT[1:]), frame("produce", 10, text="jobs.put(job)")]
    return stack, waits_for(ADDRESS, via="Queue.put", kind="Queue") if wait else RUNNING


def getting(wait: bool = True) -> tuple[list[Frame], Wait]:
    stack = [*(GET if wait else GET[1:]), frame("consume", 20, text="job = jobs.get()")]
    return stack, waits_for(ADDRESS, via="Queue.get", kind="Queue") if wait else RUNNING


class Queues:
    """Reports a queue four times a second, as the engine does."""

    def __init__(self, scene: Scene, most: int = 0, users: tuple[int, ...] = (), kind: str = "Queue") -> None:
        self._scene, self._most, self._users, self._kind = scene, most, users, kind
        self._due = 0.0
        self.pool: PoolDepth | None = None

    def tell(self, at: float, size: float, puts: float = -1, gets: float = -1) -> None:
        if at >= self._due:
            self._due = at + 0.25
            one = QueueDepth(ADDRESS, self._kind, "jobs", int(size), self._most, 0, int(puts), int(gets), self._users)
            pools = (self.pool,) if self.pool is not None else ()
            self._scene.history.apply(Depths(self._scene.now_ns, (one,), pools))


# ---------------------------------------------------------------- growth


def _flow(size: Callable[[float], float], most: int = 0, gets: float = 50.0) -> Scene:
    """A queue of that size over time, from which `gets` items a second are taken."""
    scene = Scene()
    one, two = scene.thread("receiver"), scene.thread("resizer")
    queue = Queues(scene, most, (one, two))
    scene.do(one, [frame("receive", 10, text="time.sleep(0.01)")], SLEEP)
    scene.do(two, [frame("resize", 20, text="time.sleep(0.01)")], SLEEP)
    scene.play(25, lambda at: queue.tell(at, size(at), size(at) + gets * at, gets * at))
    return scene


def test_a_queue_that_grows_without_a_bound() -> None:
    scene = _flow(lambda at: 100 + 50 * at)
    finding = scene.found("unbounded-queue")
    assert finding is not None and finding.severity is Severity.WARN
    assert finding.measured.value == pytest.approx(1.0, rel=0.05), "a hundred in, fifty out"
    assert "items in jobs (Queue, no bound), 50.0 more every second" in finding.summary
    assert "100.0 a second go in, 50.0 come out" in finding.summary
    assert "queue.Queue(maxsize=" in finding.fix
    assert scene.ever() == {"unbounded-queue"}


@pytest.mark.parametrize(
    "size",
    [
        lambda at: max(0, 5000 - 200 * at),  # loaded, then worked off
        lambda at: 1000 + 200 * (at % 2),  # up and down
        lambda at: 40 + at,  # never a backlog
        lambda at: 500 if at > 8 else 400,  # a step
    ],
)
def test_other_queues_are_silent(size: Callable[[float], float]) -> None:
    scene = _flow(size)
    assert scene.ever() == set()


def test_a_bounded_queue_may_fill_up() -> None:
    assert _flow(lambda at: 100 + 50 * at, most=5000).ever() == set()


# ---------------------------------------------------------------- both sides wait


def _turns(put: float, get: float, most: int = 1) -> Scene:
    """Of every 40 ms the producer waits `put`, the consumer `get` (shares), at different moments."""
    scene = Scene()
    one, two = scene.thread("producer"), scene.thread("consumer")
    queue = Queues(scene, most, (one, two))

    def script(at: float) -> None:
        phase = at % 0.04 / 0.04
        scene.do(one, *(putting() if phase < put else ([frame("fetch", 9)], SLEEP)))
        scene.do(two, *(getting() if phase >= 1 - get else ([frame("store", 19)], SLEEP)))
        queue.tell(at, 0, 25 * at, 25 * at)

    scene.play(6, script)
    return scene


def test_both_sides_wait_for_each_other() -> None:
    finding = _turns(0.5, 0.5).found("rendezvous-queue")
    assert finding is not None
    assert finding.measured.value == pytest.approx(0.5, abs=0.03)
    assert "of the time to put one (app.py:10 in produce), and consumer" in finding.summary
    assert [w.line for w in finding.where] == [10, 20]


@pytest.mark.parametrize(("put", "get", "most"), [(0.75, 0.0, 1), (0.0, 0.75, 1), (0.5, 0.5, 64), (0.5, 0.5, 0)])
def test_one_side_or_a_queue_with_room_is_no_rendezvous(put: float, get: float, most: int) -> None:
    assert _turns(put, get, most).first("rendezvous-queue") is None


# ---------------------------------------------------------------- one consumer


def _funnel(wait: Wait = RUNNING, consumers: int = 1, without: tuple[str, ...] = ()) -> Scene:
    """Three producers that wait for room now and then, and consumers that do something with each item."""
    scene = Scene(cpus=4.0, without=without)
    producers = [scene.thread(f"reader-{n}") for n in range(3)]
    takers = [scene.thread(f"index-{n}") for n in range(consumers)]
    queue = Queues(scene, 8, (*producers, *takers))

    def script(at: float) -> None:
        for n, tid in enumerate(producers):
            full = (at + n / 30) % 0.1 < 0.06
            scene.do(tid, *(putting() if full else ([frame("find", 8)], SLEEP)))
        for tid in takers:
            scene.do(tid, [frame("checksum", 30), frame("keep", 21, text="index.add(checksum(jobs.get()))")], wait)
        if not without:
            queue.tell(at, 8, 100 * at, 100 * at)

    scene.play(6, script)
    return scene


@pytest.mark.parametrize("without", [(), ("queues", "locks")])
def test_everything_passes_through_one_thread(without: tuple[str, ...]) -> None:
    finding = _funnel(without=without).found("aggregator-bottleneck")
    assert finding is not None and finding.severity is Severity.WARN
    assert "index-0 alone takes from jobs (app.py:21 in keep)" in finding.summary
    assert [(w.line, w.function) for w in finding.where] == [(30, "checksum"), (21, "keep"), (10, "produce")]


def test_a_consumer_that_waits_or_has_help_is_another_matter() -> None:
    assert _funnel(wait=recv()).first("aggregator-bottleneck") is None
    assert _funnel(consumers=2).first("aggregator-bottleneck") is None


def test_a_stage_of_a_pipeline_is_on_one_side_of_each_queue() -> None:
    """A thread that gets from `jobs` and puts into `done` is no consumer of `done`."""
    scene = Scene()
    tid = scene.thread("stage")
    names = {ADDRESS: "jobs", 0xB0: "done"}
    both = tuple(QueueDepth(address, "Queue", name, 0, 8, 0, 0, 0, (tid,)) for address, name in names.items())
    scene.do(tid, *getting(wait=False))
    scene.play(1)
    scene.do(tid, [*PUT[1:], frame("consume", 21, text="done.put(work(job))")], RUNNING)
    scene.play(1)
    scene.history.apply(Depths(scene.now_ns, both))
    window = Window(scene.history)
    sides = {(q.last.name, side): users(window, q, side) for q in window.queues for side in ("put", "get")}
    assert {key: [f.line for _, _, f in found] for key, found in sides.items()} == {
        ("jobs", "put"): [],
        ("jobs", "get"): [20],
        ("done", "put"): [21],
        ("done", "get"): [],
    }


# ---------------------------------------------------------------- pools


def _pool(
    size: Callable[[float], float], idle: float = 0.0, wait: Wait = SLEEP, started: int = 2, kind: str = "SimpleQueue"
) -> Scene:
    scene = Scene()
    tids = tuple(scene.thread(f"web_{n}") for n in range(2))
    queue = Queues(scene, kind=kind, users=tids)
    queue.pool = PoolDepth(ADDRESS, "web", 2, started, tids)

    def script(at: float) -> None:
        for tid in tids:
            if at % 0.1 < 0.1 * idle:
                scene.do(tid, WORKER, waits_for(ADDRESS, via="SimpleQueue.get", kind="SimpleQueue"))
            else:
                scene.do(tid, [frame("request", 24), RUN, *WORKER], wait)
        queue.tell(at, size(at), size(at) + 40 * at, 40 * at)

    scene.play(6, script)
    return scene


def test_a_pool_with_too_few_threads() -> None:
    scene = _pool(lambda at: 10 + 20 * at)
    finding = scene.found("pool-undersized")
    assert finding is not None and finding.severity is Severity.WARN
    assert "60 tasks a second arrive, 40 are done, 50 ms each" in finding.summary
    assert "max_workers=6)    # 60 tasks/s x 0.05 s = 3.0 busy on average" in finding.fix
    assert finding.where[0].line == 24
    assert "unbounded-queue" not in scene.ever()


@pytest.mark.parametrize(("kind", "call"), [
    ("ThreadedTaskDispatcher", "waitress.serve(app, threads=6)"), ("Team", "reactor.suggestThreadPoolSize(6)"),
])  # fmt: skip
def test_a_servers_pool_of_threads_is_made_larger_in_its_own_way(kind: str, call: str) -> None:
    finding = _pool(lambda at: 10 + 20 * at, kind=kind).found("pool-undersized")
    assert finding is not None and call in finding.fix


@pytest.mark.parametrize(
    "scene",
    [
        lambda: _pool(lambda at: 500 - 40 * at),  # a batch that is worked off
        lambda: _pool(lambda at: 50_000 - 40 * at),  # a larger one
        lambda: _pool(lambda at: 0),
        lambda: _pool(lambda at: 10 + 20 * at, idle=0.2),
        lambda: _pool(lambda at: 10 + 20 * at, wait=RUNNING),  # threads are not what these tasks lack
        lambda: _pool(lambda at: 10, started=1),  # it may still start a thread
    ],
)
def test_other_pools_are_large_enough(scene: Callable[[], Scene]) -> None:
    assert scene().first("pool-undersized") is None


def _idlers(at_once: int, workers: int = 32) -> Scene:
    """Of every second, `at_once` workers work for 20 ms at the same time."""
    scene = Scene()
    tids = [scene.thread(f"worker-{n}") for n in range(workers)]

    def script(at: float) -> None:
        for n, tid in enumerate(tids):
            busy = n < at_once and at % 1.0 < 0.02
            scene.do(tid, *(([frame("job", 28)], SLEEP) if busy else getting()))

    scene.play(26, script)
    return scene


def test_a_pool_that_is_never_used() -> None:
    scene = _idlers(1)
    finding = scene.found("pool-oversized")
    assert finding is not None and finding.severity is Severity.INFO
    assert "Of 32 workers (worker-*, app.py:20 in consume) never more than 1 were at work" in finding.summary
    first = scene.first("pool-oversized")
    assert first is not None and first >= 20


def test_a_burst_or_a_small_pool_is_a_use() -> None:
    assert _idlers(20).ever() == set()
    assert _idlers(1, workers=7).ever() == set()


# ---------------------------------------------------------------- hand-overs


def _stream(inside: float, busy: float = 0.5) -> Scene:
    """A producer that is busy for a part of every 100 ms, `inside` of that in put."""
    scene = Scene()
    one, two = scene.thread("reader"), scene.thread("adder")
    queue = Queues(scene, 1000, (one, two))

    def script(at: float) -> None:
        phase = at % 0.1 / 0.1
        if phase >= busy:
            scene.do(one, [frame("read", 9)], SLEEP)
        elif phase < busy * inside:
            scene.do(one, *putting(wait=False))
        else:
            scene.do(one, [frame("parse", 8)], RUNNING)
        scene.do(two, *getting())
        queue.tell(at, 0, 50_000 * at, 50_000 * at)

    scene.play(8, script)
    return scene


def test_items_handed_over_one_by_one() -> None:
    finding = _stream(0.8).found("unbatched-sync")
    assert finding is not None and finding.severity is Severity.WARN
    assert finding.measured.value == pytest.approx(0.8, abs=0.03)
    assert finding.summary.startswith("reader spends ") and "(app.py:10 in produce)" in finding.summary
    assert "50.0k items a second, 8 µs each" in finding.summary


def test_work_or_little_of_it_is_silent() -> None:
    assert _stream(0.1).first("unbatched-sync") is None
    assert _stream(0.0).first("unbatched-sync") is None


def _tasks(task: list[Frame], wait: Wait = RUNNING, part: float = 0.2) -> Scene:
    """Workers that are busy for half of the time, for `part` of that with tasks, for the rest with the pool's code."""
    scene = Scene(cpus=4.0)
    tids = [scene.thread(f"tax_{n}") for n in range(2)]
    result = [stdlib("Future.set_result", "concurrent/futures/_base.py"), RUN, *WORKER]

    def script(at: float) -> None:
        for n, tid in enumerate(tids):
            phase = (at + 0.05 * n) % 0.1 / 0.1
            if phase >= 0.5:
                scene.do(tid, WORKER, waits_for(ADDRESS, via="SimpleQueue.get", kind="SimpleQueue"))
            elif phase < 0.5 * part:
                scene.do(tid, [*task, RUN, *WORKER], wait)
            else:
                scene.do(tid, result, RUNNING)

    scene.play(6, script)
    return scene


def test_tasks_smaller_than_handing_them_over() -> None:
    finding = _tasks([frame("tax", 24, text="return price * 19 // 100")]).found("tiny-tasks")
    assert finding is not None and finding.severity is Severity.WARN
    assert finding.measured.value == pytest.approx(0.8, abs=0.05)
    assert finding.where[0].line == 24


@pytest.mark.parametrize(
    ("task", "wait"), [([frame("tax", 24)], RUNNING), ([], RUNNING), ([frame("load", 24)], recv())]
)
def test_larger_tasks_are_silent(task: list[Frame], wait: Wait) -> None:
    """The empty one: a C function has no frame of its own."""
    assert _tasks(task, wait, part=0.95).first("tiny-tasks") is None


def test_a_producer_that_outruns_its_consumer_is_told_within_ten_seconds() -> None:
    scene = Scene()
    one = scene.thread("receiver")
    queue = Queues(scene, 0, (one,))
    scene.do(one, [frame("receive", 10)], SLEEP)
    scene.play(9, lambda at: queue.tell(at, 5 + 8 * at, 5 + 10 * at, 2 * at))
    finding = scene.found("unbounded-queue")
    assert finding is not None and finding.severity is Severity.INFO
    assert "8.0 more every second" in finding.summary


def test_a_few_items_that_are_soon_done_are_no_backlog() -> None:
    scene = Scene()
    one = scene.thread("receiver")
    queue = Queues(scene, 0, (one,))
    scene.do(one, [frame("receive", 10)], SLEEP)
    scene.play(9, lambda at: queue.tell(at, 5 + 8 * at, 5 + 508 * at, 500 * at))
    assert scene.ever() == set()


def test_of_every_pool_that_is_known_it_is_told_what_to_do() -> None:
    for library in {library for rows in POOLS.values() for _, library in rows}:
        advice = _pools.fix(library, library in _pools.USED and not _pools.keeps(library, Stack()))
        assert "as many as are in use at once" in advice, library
