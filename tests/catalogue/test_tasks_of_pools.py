"""Tasks of thread pools that wait for what cannot come: an item that their caller would put in, an event that a task
behind them would set; locks of a Manager; a lock that the thread has itself. And what looks alike and is none."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame, stdlib, waits_for

from concview.analysis.blame.tracker import Tracker
from concview.analysis.window import Window
from concview.model import Depths, Frame, Peer, PoolDepth, QueueDepth, Reference, Related, Relations, Wait, WaitKind
from concview.snapshot import Blame
from concview.source.wakes import Wakes

FILE = "/srv/app.py"
LIBRARY = "/site-packages/batch/parallel.py"
GET = stdlib("Queue.get", "queue.py")
EVENT = stdlib("Event.wait", "threading.py")
WORKER = (stdlib("_WorkItem.run", "concurrent/futures/thread.py"), stdlib("_worker", "concurrent/futures/thread.py"))
SOURCES = {
    FILE: """\
def score(n):
    return n * inputs.get()
def main():
    results = parallel(score, range(3))
    for r in results: inputs.put(r)
def consume():
    while True:
        handle(inputs.get())
def move():
    with guard:
        sleep(9)
def look():
    guard.acquire()
    show()
    guard.release()
""",
    LIBRARY: """\
def retrieve(self):
    while self.active:
        sleep(0.01)
def batch(items):
    return [f(*a) for f, a in items]
""",
}


def blame(scene: Scene) -> Blame:
    scene.play(8)
    found = Tracker(Wakes(lambda name: SOURCES.get(name, "").split("\n"))).blame(Window(scene.history))
    assert found is not None
    return found


@pytest.mark.parametrize(("main", "task", "stuck"), [
    ("polls", "score", True),  # a library that looks every 10 ms whether they are done
    ("sleeps", "score", False),  # nobody has asked for anything
    ("polls", "consume", False),  # a loop: a consumer that has no work
])  # fmt: skip
def test_tasks_that_take_what_their_caller_puts_in_once_it_has_their_results(main: str, task: str, stuck: bool) -> None:
    scene = Scene(rules={})
    caller, references = scene.thread("MainThread"), []
    polling = frame("retrieve", 3, LIBRARY, "library")
    scene.do(caller, [*([polling] if main == "polls" else []), frame("main", 4)], SLEEP)
    line = 2 if task == "score" else 8
    tids = [scene.thread(f"worker-{n}") for n in range(2)]
    for tid in tids:
        stack = [GET, frame(task, line), frame("batch", 5, LIBRARY, "library"), *WORKER]
        scene.do(tid, stack, waits_for(0x50, via="Queue.get", kind="Queue"))
        references.append(Reference(tid, 1, "global", "inputs", task, FILE, line, source=True))
    references.append(Reference(caller, 1, "global", "inputs", "main", FILE, 4, source=True, will="put", will_line=5))
    row = Related(0x50, "Queue", "Queue", "inputs", tuple(tids), references=tuple(references), complete=True)
    scene.history.apply(Relations(scene.now_ns, (row,), 2, 2))
    found = blame(scene)
    assert (found.verdict == "stuck") is stuck
    assert not stuck or "they wait for each other" in found.sentence


@pytest.mark.parametrize(("waiting", "behind", "ending", "stuck"), [
    (2, 3, False, True), (2, 0, False, False), (1, 3, False, False), (2, 2, True, False),
])  # fmt: skip
def test_an_event_that_only_a_task_behind_would_set(waiting: int, behind: int, ending: bool, stuck: bool) -> None:
    scene = Scene(rules={})
    tids = [scene.thread(f"jobs_{n}") for n in range(2)]
    for n, tid in enumerate(tids):
        stack = [EVENT, frame("result", 9, LIBRARY, "library"), frame("index", 12), *WORKER]
        if n < waiting:
            scene.do(tid, stack, waits_for(0x60 + n, via="Event.wait", kind="Event"))
        else:
            scene.do(tid, [frame("index", 13), *WORKER], SLEEP)
    queue = QueueDepth(0xE0, "SimpleQueue", "", behind, 0, -1, 5, 2)
    if ending:  # what lies in the queue then are signs to end
        ends = [stdlib("Thread.join", "threading.py"), stdlib("_python_exit", "concurrent/futures/thread.py")]
        scene.do(scene.thread("MainThread"), ends, waits_for(0x70, via="Thread.join", kind="Thread"))
    for _ in range(8):
        scene.history.apply(Depths(scene.now_ns, (queue,), (PoolDepth(0xE0, "jobs", 2, 2, tuple(tids)),)))
        scene.play(1)
    found = blame(scene)
    assert ("no worker is left to run" in found.sentence) is stuck
    assert not stuck or found.verdict == "stuck"


MANAGED = (
    stdlib("Connection._recv", "multiprocessing/connection.py"),
    stdlib("BaseProxy._callmethod", "multiprocessing/managers.py"),
)
ANSWER = Wait(WaitKind.IO, "read", 5, Peer("unix", "unix:[77]"))


@pytest.mark.parametrize(("method", "held_up"), [("AcquirerProxy.acquire", True), ("DictProxy.get", False)])
def test_a_lock_of_a_manager(method: str, held_up: bool) -> None:
    scene = Scene(rules={})
    for n in range(3):
        stack: list[Frame] = [*MANAGED, stdlib(method, "multiprocessing/managers.py"), frame("work", 40)]
        scene.do(scene.thread(f"work-{n}"), stack, ANSWER)
    found = blame(scene)
    assert (found.verdict == "held up") is held_up
    assert not held_up or "a lock of a Manager (app.py:40" in found.sentence


@pytest.mark.parametrize(("line", "has"), [(11, True), (10, False)])
def test_who_has_a_lock_of_a_manager_in_this_process(line: int, has: bool) -> None:
    scene = Scene(rules={})
    stack = [*MANAGED, stdlib("AcquirerProxy.acquire", "multiprocessing/managers.py"), frame("look", 13)]
    waits = scene.thread("look")
    scene.do(waits, stack, ANSWER)
    holder = scene.thread("mover")
    scene.do(holder, [frame("move", line)], SLEEP)
    (cause,) = [c for c in blame(scene).causes if waits in c.threads]
    assert cause.path[0].what == "guard, a lock of a Manager"
    assert cause.path[0].owners == ((holder,) if has else ())


@pytest.mark.parametrize(("third", "stuck"), [(None, True), (SLEEP, False)])
def test_jobs_of_other_interpreters_that_wait_for_each_other(third: Wait | None, stuck: bool) -> None:
    """Their queues are polled; nothing tells who else has one. Where another thread does something it may put."""
    scene = Scene(rules={})
    scene.do(
        scene.thread("MainThread"),
        [stdlib("Future.result", "concurrent/futures/_base.py"), frame("main", 4)],
        waits_for(0x70, via="Future.result", kind="Future"),
    )
    polls = stdlib("Queue.get", "concurrent/interpreters/_queues.py")
    for n in range(2):
        scene.do(scene.thread(f"jobs_{n}"), [polls, frame("score", 2), *WORKER], SLEEP)
    if third is not None:
        scene.do(scene.thread("other"), [frame("feed", 30)], third)
    found = blame(scene)
    assert (found.verdict == "stuck") is stuck
    assert not stuck or "each of the 3 threads" in found.sentence


STAGES = """\
def make(q):
    n = 0
    while True: q.put(n)
def use(q):
    while True:
        q.get()
        work()
"""


@pytest.mark.parametrize("there", [True, False])
def test_room_in_a_queue_between_interpreters_is_made_by_who_takes_out_of_one_called_so(there: bool) -> None:
    """Each interpreter has an object of its own for it: nothing but the source ties them. Where the process has no
    other thread, there is nobody."""
    scene = Scene(rules={})
    makes = scene.thread("make")
    scene.do(makes, [stdlib("Queue.put", "concurrent/interpreters/_queues.py"), frame("make", 3)], SLEEP)
    uses = scene.thread("use") if there else 0
    if there:
        scene.do(uses, [frame("use", 7)], SLEEP)
    scene.play(6)
    found = Tracker(Wakes(lambda file: STAGES.split("\n") if file == FILE else ())).blame(Window(scene.history))
    assert found is not None
    (cause,) = [c for c in found.causes if makes in c.threads]
    if there:
        assert (cause.path[0].what, cause.path[0].owners) == ("room in q", (uses,))
    else:
        assert cause.kind == "nobody"


@pytest.mark.parametrize("outer", ["view", "elsewhere"])
def test_a_lock_that_the_thread_has_further_out_on_a_line_of_its_own(outer: str) -> None:
    scene = Scene(rules={})
    tid = scene.thread("worker")
    stack = [frame("save", 7, text="with lock: return n"), frame("call", 3, LIBRARY, "library"), frame("view", 10)]
    scene.do(tid, stack, waits_for(0x80))
    mine = Reference(tid, 2, "global", "lock", outer, FILE, 10, source=True, past="enter", will="exit", part="body")
    row = Related(0x80, "Lock", "lock", "lock", (tid,), 1, references=(mine,), complete=True)
    scene.history.apply(Relations(scene.now_ns, (row,), 1, 1))
    found = blame(scene)
    assert ("this thread has it itself" in found.sentence) is (outer == "view")


@pytest.mark.parametrize(("failed", "verdict"), [(12, "retry"), (0, "")])
def test_a_pool_of_connections_that_has_made_none(failed: int, verdict: str) -> None:
    pool = "/site-packages/psycopg_pool/pool.py"
    scene = Scene(rules={})
    tids = [scene.thread(f"view-{n}") for n in range(3)]
    for n, tid in enumerate(tids):
        stack = [stdlib("Condition.wait", "threading.py"), frame("ConnectionPool.getconn", 8, pool, "library")]
        scene.do(tid, [*stack, frame("view", 60)], waits_for(0x90 + n, True, "Condition.wait", "Condition"))
    row = QueueDepth(0xF0, "ConnectionPool", "pool", 0, 4, -1, -1, -1, tuple(tids), failed)
    for _ in range(4):
        scene.history.apply(Depths(scene.now_ns, (row,)))
        scene.play(1)
    found = blame(scene)
    assert (found.verdict == "retry") is bool(verdict)
    assert not verdict or "which has none: of 12 attempts to make one all have failed" in found.sentence


def test_a_thread_pool_of_multiprocessing_has_its_workers_here() -> None:
    file = "multiprocessing/pool.py"
    scene = Scene(rules={})
    caller, worker = scene.thread("MainThread"), scene.thread("worker")
    waits = [stdlib("Condition.wait", "threading.py"), stdlib("ApplyResult.get", file), frame("main", 4)]
    scene.do(caller, waits, waits_for(0xA0, via="Event.wait", kind="Event"))
    scene.do(worker, [frame("render", 30), stdlib("worker", file)], SLEEP)
    for n in range(2):
        scene.do(
            scene.thread(f"handler-{n}"),
            [GET, stdlib("Pool._handle_results", file)],
            waits_for(0xB0 + n, via="SimpleQueue.get", kind="SimpleQueue"),
        )
    (cause,) = [c for c in blame(scene).causes if caller in c.threads]
    assert cause.path[0].owners == (worker,)
