"""What stands still for ever: circles by objects, a program in which nothing can go on, what only one of the waiting
ones could give. And what looks alike and is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from build import SLEEP, Scene, frame, stdlib, waits_for

from concview.analysis.blame import words
from concview.analysis.blame.tracker import Tracker
from concview.analysis.blame.verdict import judge
from concview.analysis.window import Window
from concview.model import (
    Confidence,
    FileLock,
    FileLocks,
    Frame,
    Link,
    Links,
    Peer,
    Reference,
    Related,
    Relations,
    Severity,
    Target,
    User,
    Wait,
    WaitKind,
)
from concview.snapshot import Blame, BlameCause, BlameStep
from concview.source.wakes import Wakes

FILE = "/srv/app.py"
GET = stdlib("Queue.get", "queue.py")
CONDITION = stdlib("Condition.wait", "threading.py")
EVENT = stdlib("Event.wait", "threading.py")
ACCEPT = Wait(WaitKind.IO, "accept4", 5, Peer("tcp", "0.0.0.0:80", status="LISTEN"))


def blame(scene: Scene, text: str = "", seconds: float = 8) -> Blame:
    scene.play(seconds)
    lines = text.split("\n")
    found = Tracker(Wakes(lambda name: lines if name == FILE and text else ())).blame(Window(scene.history))
    assert found is not None
    return found


def process() -> Scene:
    """Its first thread is the main thread."""
    return Scene(rules={}, target=Target(101, "3.13.0", ("python", "app.py"), 0.0))


@pytest.mark.parametrize(("main", "other", "stands"), [
    (([GET, frame("main", 9)], waits_for(0x20, via="Queue.get")), None, True),
    (([stdlib("Thread.join", "threading.py"), frame("main", 9)], waits_for(0x21, via="Thread.join")), None, True),
    (([stdlib("_shutdown", "threading.py")], waits_for(0x21, via="Thread.join")), None, True),
    # A signal's handler may set it.
    (([EVENT, frame("main", 9)], waits_for(0x22, via="Event.wait")), None, False),
    (([frame("main", 9)], SLEEP), None, False),
    (([GET, frame("main", 9)], waits_for(0x20, via="Queue.get", timed=True)), None, False),
    (([GET, frame("main", 9)], waits_for(0x20, via="Queue.get")), ([frame("serve", 20)], ACCEPT), False),
    # A thread of a C library: it may call back.
    (([GET, frame("main", 9)], waits_for(0x20, via="Queue.get")), ([], waits_for()), False),
    (([GET, frame("main", 9)], waits_for(0x20, via="Queue.get")),
     ([frame("f", 3)], waits_for(0x30, kind="multiprocessing.Lock")), False),
])  # fmt: skip
def test_a_program_in_which_nothing_can_go_on(
    main: tuple[Sequence[Frame], Wait], other: tuple[Sequence[Frame], Wait] | None, stands: bool
) -> None:
    scene = process()
    scene.do(scene.thread("MainThread"), *main)
    for number in range(2):
        scene.do(scene.thread(f"render-{number}"), [GET, frame("render", 4)], waits_for(0x10, via="Queue.get"))
    if other is not None:
        scene.do(scene.thread("other"), *other)
    found = blame(scene)
    assert (found.verdict == "stuck") == ("can go on: each of the 3 threads" in found.sentence) == stands
    if stands:
        assert found.severity is Severity.WARN
        assert "2 render for an item of an empty queue (app.py:4)" in found.sentence
        assert found.sentence.startswith("The main program has ended") == (main[0][0].function == "_shutdown")


TRANSFER = """\
def transfer(i):
    a, b = rows[i], rows[i + 1]
    a.acquire()
    ask()
    b.acquire()
"""


def test_locks_that_are_taken_by_acquire_alone_make_a_circle() -> None:
    """By the object: what one calls `b`, the next one has as `a`, with no release() in sight."""
    scene = Scene(rules={})
    threads = [scene.thread(f"tx-{i}") for i in range(4)]
    for tid in threads:
        scene.do(tid, [frame("transfer", 4)])
    scene.play(1)
    rows = []
    for i, tid in enumerate(threads):
        lock, holder = 0x100 + (i + 1) % 4, threads[(i + 1) % 4]
        scene.do(tid, [frame("transfer", 5, text="b.acquire()")], waits_for(lock))
        told = (
            Reference(tid, 0, "local", "b", "transfer", FILE, 5, source=True),
            Reference(holder, 0, "local", "a", "transfer", FILE, 5, source=True, past="acquire", past_line=3),
        )
        rows.append(Related(lock, "Lock", "lock", "b", (tid,), 1, references=told, complete=True))
    scene.play(0.2)
    scene.history.apply(Relations(scene.history.now_ns, tuple(rows), 4, 4))
    found = blame(scene, TRANSFER, 14)
    assert (found.verdict, found.severity) == ("stuck", Severity.WARN)
    assert {c.kind for c in found.causes if c.path} == {"cycle"}


@pytest.mark.parametrize(("will", "parks"), [("release", False), ("", True)])
def test_who_gives_a_lock_back_itself_does_not_park_at_it(will: str, parks: bool) -> None:
    scene = Scene(rules={})
    scene.do(scene.thread("clock"), [frame("tick", 90)], SLEEP)  # somebody who could wake it
    tid = scene.thread("w-0")
    scene.do(tid, [frame("work", 50)])
    scene.play(1)
    scene.do(tid, [frame("work", 5, text="lock.acquire()")], waits_for(0x40))
    scene.play(0.2)
    told = (Reference(tid, 0, "local", "lock", "work", FILE, 5, source=True, will=will, will_line=7 if will else 0),)
    row = Related(0x40, "Lock", "lock", "lock", (tid,), 1, references=told)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 1, 1))
    found = blame(scene, "def work():\n    x()\n    y()\n    z()\n    lock.acquire()\n", 14)
    assert (found.unexplained < 0.2) == parks


BUFFER = """\
def put(x):
    with c:
        while full:
            c.wait()
        c.notify()
def take():
    with c:
        while empty:
            c.wait()
        c.notify()
"""


@pytest.mark.parametrize(("more", "lost"), [("", True), ("def add():\n    with c:\n        c.notify_all()\n", False)])
def test_all_that_would_wake_it_wait_for_it(more: str, lost: bool) -> None:
    """Not where a third function would: its caller may yet come."""
    scene = Scene(rules={})
    for name, function, line in (("p-0", "put", 4), ("p-1", "put", 4), ("c-0", "take", 9)):
        scene.do(scene.thread(name), [CONDITION, frame(function, line)], waits_for(0x40, via="Condition.wait"))
    scene.do(scene.thread("clock"), [frame("tick", 90)], SLEEP)
    found = blame(scene, BUFFER + more)
    assert (found.verdict == "stuck") == lost
    if lost:
        assert found.severity is Severity.WARN and "threads wait for it themselves" in found.sentence
    scene = Scene(rules={})  # consumers alone have no work
    for number in range(2):
        scene.do(scene.thread(f"c-{number}"), [CONDITION, frame("take", 9)], waits_for(0x40, via="Condition.wait"))
    scene.do(scene.thread("clock"), [frame("tick", 90)], SLEEP)
    assert blame(scene, BUFFER).verdict != "stuck"


@pytest.mark.parametrize("alone", [True, False])
def test_a_file_that_the_thread_has_locked_by_another_descriptor(alone: bool) -> None:
    scene = Scene(rules={})
    assert scene.history.hello is not None
    pid = scene.history.hello.target.pid
    tid = scene.thread("merge")
    scene.do(tid, [frame("merge", 3)], Wait(WaitKind.IO, "flock", 5, Peer("file lock", "/tmp/x")))
    scene.do(scene.thread("clock"), [frame("tick", 90)], SLEEP)
    scene.play(1)
    users = (User(tid, "local", "b.f", "merge", FILE, 3),) if alone else ()
    lock = FileLock("/tmp/x", "flock", "WRITE", (tid,), pid, "app", users)
    scene.history.apply(FileLocks(scene.history.now_ns, (lock,)))
    found = blame(scene)
    assert (found.verdict == "stuck") == alone
    assert "by another descriptor" in found.sentence


def test_a_callback_that_waits_for_what_only_its_own_thread_hands_over() -> None:
    scene = Scene(rules={})
    pool = "/usr/lib/python3.12/multiprocessing/pool.py"
    stack = [EVENT, frame("ApplyResult.wait", 765, pool, "stdlib"), frame("chain", 5)]
    stack.append(frame("Pool._handle_results", 579, pool, "stdlib"))
    scene.do(scene.thread("Thread-3"), stack, waits_for(0x40, via="Event.wait"))
    found = blame(scene)
    assert found.verdict == "stuck" and "which only this thread hands over" in found.sentence


LOOP = """\
def legacy(loop):
    f = asyncio.run_coroutine_threadsafe(fetch(), loop)
    return f.result()
"""
RESULT = stdlib("Future.result", "concurrent/futures/_base.py")
RUN_ONCE = stdlib("BaseEventLoop._run_once", "asyncio/base_events.py")


def test_a_coroutine_given_to_a_loop_that_waits_for_who_gave_it() -> None:
    scene = Scene(rules={})
    loop, worker = scene.thread("loop"), scene.thread("legacy_0")
    run = [stdlib("_WorkItem.run", "concurrent/futures/thread.py"), stdlib("_worker", "concurrent/futures/thread.py")]
    given = waits_for(0x50, via="Future.result", kind="Future")
    scene.do(worker, [RESULT, frame("legacy", 3), *run], given)
    wait = Wait(WaitKind.FUTEX, "futex", lock=0x60, lock_kind="Future", via="Future.result", target=worker)
    scene.do(loop, [RESULT, frame("main", 16), RUN_ONCE], wait)
    found = blame(scene, LOOP)
    assert found.verdict == "stuck" and "a coroutine, which the event loop has to run" in found.sentence
    assert {t for c in found.causes if c.kind == "cycle" for t in c.threads} == {loop, worker}


RING = """\
def member(mine, following):
    while True:
        mine.acquire()
        work()
        following.release()
"""


def test_a_permit_that_is_handed_on_is_followed_to_who_has_it() -> None:
    """By the object: what one waits for, the one before it will release, and has never taken."""
    scene = Scene(rules={})
    members = [scene.thread(f"member-{i}") for i in range(4)]
    scene.play(0.5)
    rows = []
    taking = [stdlib("Semaphore.acquire", "threading.py"), frame("member", 3)]
    for i, tid in enumerate(members):
        if not i:
            scene.do(tid, [frame("work", 90), frame("member", 4)])
            continue
        scene.do(tid, taking, waits_for(0x100 + i, via="Semaphore.acquire", kind="Semaphore"))
        before = members[i - 1]
        line = 4 if i == 1 else 3
        told = (
            Reference(tid, 1, "local", "mine", "member", FILE, 3, source=True, past="", will=""),
            Reference(before, 1, "local", "following", "member", FILE, line, source=True, will="release", will_line=5),
        )
        rows.append(Related(0x100 + i, "Semaphore", "X", "mine", (tid,), 0, references=told, complete=True))
    scene.play(0.5)
    scene.history.apply(Relations(scene.history.now_ns, tuple(rows), 4, 4))
    found = blame(scene, RING)
    waiting = [c for c in found.causes if c.path]
    assert waiting and {c.kind for c in waiting} == {"cpu"} and found.unexplained < 0.1
    assert found.verdict == "waits"


def test_a_chain_of_steps_alike_is_told_once() -> None:
    step = BlameStep("signal", "a permit", "member", FILE, 3, "member", Confidence.INFERRED, (1,), (2,))
    lock = BlameStep("lock", "LOCK", "member", FILE, 9, "work", Confidence.INFERRED, (2,), (3,))
    cause = BlameCause(
        "stall", "sleep", "sleeps", FILE, 9, "work", 1.0, 1.0, (1,), path=(step, step, step, lock), ends="web"
    )
    assert words.story(cause, 1).startswith(
        "1 thread () waits for a permit to be set or notified (app.py:3), and so on from one member to the next, by "
        "member, which waits for LOCK (app.py:9), held by web, which sleeps (app.py:9)"
    )


@pytest.mark.parametrize(("part", "stands"), [(0.02, False), (0.9, True)])
def test_a_ring_at_the_moment_of_a_hand_over_is_no_circle(part: float, stands: bool) -> None:
    """Sixty four threads that hand on a permit seem to wait for each other for a moment: together that is much."""
    step = BlameStep("signal", "a permit", "m", FILE, 3, "member", Confidence.INFERRED, (1,), (2,))
    tids = tuple(range(1, 65))
    cause = BlameCause("stall", "cycle", "each other", "", 0, "", part, 64 * 10 * part, tids, path=(step,), ends="m")
    made = Blame(10.0, 64.0, 64.0, 0.5, part, 0.5 - part / 2, 0.0, 0.0, 0.0, causes=(cause,))
    assert (judge(made, process().history).verdict == "stuck") == stands


@pytest.mark.parametrize("free", [False, True])
def test_workers_that_ask_their_own_server_and_none_is_left(free: bool) -> None:
    """The requests lie in the server's queue, where no thread's frames have them."""
    scene = process()
    main = scene.thread("MainThread")
    scene.do(main, [EVENT, frame("main", 9)], waits_for(0x22, via="Event.wait"))
    run = frame("WorkerThread.run", 150, "/site-packages/cheroot/workers/threadpool.py", "library")
    asking = [frame("view", 5), run]
    tids = [scene.thread(f"worker-{n}") for n in range(2)]
    ask = Wait(WaitKind.IO, "recvfrom", 7, Peer("tcp", "127.0.0.1:8000", "127.0.0.1:5001"))
    for tid in tids:
        scene.do(tid, asking, ask)
    if free:
        scene.do(scene.thread("worker-2"), [GET, run], waits_for(0x30, via="Queue.get"))
    link = Link(7, "tcp", tuple(tids), 11, True, peer_fds=(9,), complete=True, role="client", remote="127.0.0.1:8000")
    scene.play(1)
    scene.history.apply(Links(scene.history.now_ns, (link,)))
    found = blame(scene)
    assert (found.verdict == "stuck") != free
    if not free:
        assert "an answer of this process's own server, all 2 workers of which are busy" in found.sentence


@pytest.mark.parametrize("moves", [False, True])
def test_a_client_that_waits_in_slices_for_what_does_not_come(moves: bool) -> None:
    """psycopg looks ten times a second whether it is to stop: no slice is long. Queries one after another in one line
    send something each time."""
    scene = process()
    client = frame("Connection.wait", 495, "/site-packages/psycopg/connection.py", "library")
    tids = [scene.thread(f"web-{n}") for n in range(2)]
    peer = Peer("tcp", "10.0.0.5:5432", "127.0.0.1:5001")
    scene.do(scene.thread("MainThread"), [EVENT, frame("main", 9)], waits_for(0x22, via="Event.wait"))
    began = scene.history.now_ns
    for number in range(100):
        for tid in tids:
            wait = Wait(WaitKind.IO, "poll", 7, peer, timed=True)
            scene.do(
                tid, [client, frame("order", 5)] if number % 2 else [client, frame("order", 5), frame("f", 1)], wait
            )
        moved = scene.history.now_ns if moves else began + 1
        link = Link(7, "tcp", tuple(tids), 11, True, complete=True, role="client", sent_ns=moved)
        scene.play(0.1)
        scene.history.apply(Links(scene.history.now_ns, (link,)))
    found = blame(scene, seconds=0.1)
    said = [said for said in (found.sentence, *found.more) if "nothing has been sent or has come" in said]
    assert bool(said) is not moves
    silent = max(c.silent_s for c in found.causes)
    assert silent < 1 if moves else silent >= 8


LISTENER = """\
class Forward:
    def on_receipt(self, frame):
        self.confirmed.set()
    def on_message(self, frame):
        self.confirmed.wait()
"""


@pytest.mark.parametrize(
    ("text", "beside", "stands"),
    [
        (LISTENER, "", True),
        (LISTENER + "    def close(self):\n        self.on_receipt(None)\n", "", False),  # the program calls it, too
        (LISTENER, "stomp", False),  # another thread of that library may call it
        (LISTENER, "other", True),
    ],
)
def test_a_callback_that_waits_for_another_one_of_the_same_object(text: str, beside: str, stands: bool) -> None:
    def library(name: str) -> Frame:
        return frame("loop", 9, f"/usr/lib/python3/site-packages/{name}/transport.py", "library")

    scene = process()
    scene.do(scene.thread("MainThread"), [EVENT, frame("main", 50)], waits_for(0x9, via="Event.wait"))
    stack = [EVENT, frame("Forward.on_message", 5), library("stomp"), stdlib("Thread.run", "threading.py")]
    scene.do(scene.thread("reader"), stack, waits_for(0x22, via="Event.wait"))
    if beside:
        scene.do(scene.thread("heartbeat"), [library(beside), stdlib("Thread.run", "threading.py")], SLEEP)
    found = blame(scene, text)
    assert (found.verdict == "stuck") == stands == ("on_receipt would set it, for stomp to call" in found.sentence)
