"""What is no cause: threads of libraries that have nothing to do, those that are told to end, pauses. And what looks
like one and is: a pause with something held, readers in the way of a writer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from build import RUNNING, SELECT, SLEEP, Scene, frame, recv, stdlib, waits_for

from concview.analysis.blame.tracker import Tracker
from concview.analysis.blame.words import story
from concview.analysis.window import Window
from concview.model import Frame, Loops, LoopState, Reference, Related, Relations, Role, Severity, Wait, Worker, Workers
from concview.snapshot import Blame
from concview.source.parse import parse
from concview.source.wakes import File, Wakes

FILE = "/srv/app.py"
WATCH = "/site-packages/watch/observer.py"
EVENT = stdlib("Event.wait", "threading.py")
CONDITION = stdlib("Condition.wait", "threading.py")


def blame(scene: Scene, text: str = "", file: str = FILE, play_s: float = 4) -> Blame:
    scene.play(play_s)
    lines = text.split("\n")
    found = Tracker(Wakes(lambda name: lines if name == file and text else ())).blame(Window(scene.history))
    assert found is not None
    return found


def waiting(stack: Sequence[Frame], via: str, timed: bool = False, name: str = "w-0") -> tuple[Scene, int]:
    """A thread that began to wait while somebody looked: it has moved before."""
    scene = Scene(rules={})
    tid = scene.thread(name)
    scene.do(tid, [frame("work", 50)])
    scene.play(1)
    scene.do(tid, stack, waits_for(0x40, via=via, timed=timed, kind=via.partition(".")[0]))
    return scene, tid


@pytest.mark.parametrize(("stack", "quiet"), [
    ([CONDITION, frame("Buffer.get", 9, WATCH, "library"), frame("Thread.run", 5, WATCH, "library")], True),
    ([EVENT, stdlib("Thread.run", "threading.py")], True),  # Thread(target=stop.wait): it does nothing else
    ([CONDITION, frame("Buffer.get", 9, WATCH, "library"), frame("work", 5)], False),  # the program wants it
])  # fmt: skip
def test_what_a_library_has_its_own_threads_wait_for(stack: list[Frame], quiet: bool) -> None:
    found = blame(waiting(stack, "Condition.wait")[0])
    assert (found.active < 0.3) == quiet
    assert (found.unexplained > 0.5) != quiet


@pytest.mark.parametrize(("name", "quiet"), [("self._stop_flag", True), ("shutdown", True), ("finished", False)])
def test_who_waits_to_be_told_to_end(name: str, quiet: bool) -> None:
    """However others stand to it: who may set it is not in the way."""
    text = f"def work():\n    {name}.wait()\ndef other():\n    ask()\n    {name}.set()\n"
    scene, _ = waiting([EVENT, frame("work", 2)], "Event.wait")
    scene.do(scene.thread("other"), [frame("ask", 90), frame("other", 4)], SLEEP)
    found = blame(scene, text)
    assert (not [c for c in found.causes if c.path]) == quiet


def test_one_that_waits_at_the_same_line_further_out_is_not_in_the_way() -> None:
    """All run under one function that sets the flag when something fails."""
    text = "def run():\n    try: loop()\n    except: more.set()\ndef loop():\n    more.wait(2)\n"
    scene, tid = waiting([EVENT, frame("loop", 5), frame("run", 2)], "Event.wait", timed=True)
    scene.do(scene.thread("other"), [frame("ask", 90), frame("run", 2)], SLEEP)
    assert not [c for c in blame(scene, text).causes if tid in c.threads and c.family == "taken"]


READERS = """\
def acquire_read():
    cv.acquire(); n += 1; cv.release()
def release_read():
    cv.acquire()
    n -= 1
    cv.notify_all()
    cv.release()
def acquire_write():
    cv.acquire()
    while n > 0:
        cv.wait()
def look():
    while True:
        acquire_read()
        try:
            ask()
        finally:
            release_read()
"""


@pytest.mark.parametrize("known", [False, True])
def test_readers_are_in_the_way_of_a_writer(known: bool) -> None:
    stack = [CONDITION, frame("acquire_write", 11), frame("update", 30)]
    scene, tid = waiting(stack, "Condition.wait", name="writer")
    readers = [scene.thread(f"look-{n}") for n in range(2)]
    for reader in readers:
        scene.do(reader, [frame("ask", 90), frame("look", 16)], SLEEP)
    if known:
        names = [Reference(t, 1, "global", "cv", "look", FILE, 16) for t in readers]
        row = Related(0x40, "Condition", "Condition", "cv", (tid,), references=tuple(names), complete=True)
        scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    (cause,) = [c for c in blame(scene, READERS).causes if c.path and tid in c.threads]
    assert (cause.family, set(cause.path[0].owners)) == ("taken", set(readers))


@pytest.mark.parametrize(("text", "line", "pauses"), [
    ("def f():\n    while True:\n        look()\n        sleep(1)\n", 4, True),
    ("def f():\n    with suppress(X):\n        while True:\n            sleep(1)\n", 4, True),
    ("def f():\n    while True:\n        with pool.one() as c:\n            sleep(1)\n", 4, False),
    ("def f():\n    while True:\n        try:\n            sleep(1)\n        finally: c.close()\n", 4, False),
    ("def f():\n    while True:\n        lock.acquire()\n        sleep(1)\n        lock.release()\n", 4, False),
    ("def f():\n    while True:\n        lock.acquire()\n        lock.release()\n        sleep(1)\n", 5, True),
    ("def f():\n    while True:\n        x = q.get()\n        sleep(1)\n        x.set_result(2)\n", 4, False),
    ("def f():\n    while True:\n        x = q.get()\n        sleep(1)\n        q.task_done()\n", 4, False),
    ("def f():\n    while True:\n        x = q.get()\n        x.set_result(2)\n        sleep(1)\n", 5, True),
])  # fmt: skip
def test_a_pause_has_nothing_to_give_back(text: str, line: int, pauses: bool) -> None:
    assert File(parse(text)).pauses("f", line) == pauses


POOL = "def job():\n    c = pool.connection()\n    work()\n    c.close()\n    rest()\n"


def test_who_is_past_the_line_that_asks_has_a_connection_until_its_last_use() -> None:
    file = File(parse(POOL))
    assert (file.had_until("job", 2), file.had_until("job", 3)) == (4, 0)
    pool = frame("PooledDB.connection", 9, "/site-packages/dbutils/pooled_db.py", "library")
    scene, tid = waiting([CONDITION, pool, frame("job", 2)], "Condition.wait")
    has, had = scene.thread("has"), scene.thread("had")
    scene.do(has, [frame("work", 50), frame("job", 3)], SLEEP)
    scene.do(had, [frame("rest", 60), frame("job", 5)], SLEEP)
    (cause,) = [c for c in blame(scene, POOL).causes if c.path and tid in c.threads]
    assert (cause.path[0].via, cause.path[0].owners) == ("resource", (has,))


def test_how_many_have_a_connection_at_a_time_is_told_not_only_how_many_ever_had_one() -> None:
    pool = frame("PooledDB.connection", 9, "/site-packages/dbutils/pooled_db.py", "library")
    asks = [CONDITION, pool, frame("job", 2)]
    wait = waits_for(0x40, via="Condition.wait", kind="Condition")
    scene, tid = waiting(asks, "Condition.wait", name="job-0")
    others = [scene.thread(f"job-{n}") for n in range(1, 5)]
    for turn in range(4):
        for number, other in enumerate(others):
            has = number == turn
            scene.do(other, [frame("work", 50), frame("job", 3)] if has else asks, SLEEP if has else wait)
        scene.play(1)
    found = Tracker(Wakes(lambda name: POOL.split("\n") if name == FILE else ())).blame(Window(scene.history))
    assert found is not None
    cause = next(c for c in found.causes if c.path and tid in c.threads)
    step = cause.path[0]
    assert set(step.owners) == set(others) and step.at_a_time == pytest.approx(1.0, abs=0.1)
    assert ", all in use by 1 of 4 threads (job) at a time, which sleep" in story(cause, 4.0)


SESSIONS = """\
def pay(n, db):
    order = find(db, n)
    charge(order)
    db.commit()
    tell(order)
def find(db, n):
    return db.query(Order).filter(Order.id == n).one()
def orders(db):
    return db.scalars(select(Order))
def report():
    with Session() as db:
        rows = db.execute(query)
        send(rows)
    rest()
"""


@pytest.mark.parametrize(("asks", "line", "has"), [
    ([frame("find", 7), frame("pay", 2)], 3, True),  # the session was handed in
    ([frame("find", 7), frame("pay", 2)], 5, False),  # and gave its connection back by now
    ([frame("report", 12)], 13, True),
    ([frame("report", 12)], 14, False),  # outside of the block that made it
])  # fmt: skip
def test_a_session_keeps_its_connection_from_call_to_call(asks: list[Frame], line: int, has: bool) -> None:
    """Also seen from one that waits in another function, at whose line nobody can be past."""
    function = asks[-1].function
    between = [
        CONDITION,
        frame("QueuePool._do_get", 9, "/site-packages/sqlalchemy/pool/impl.py", "library"),
        frame("Session.execute", 90, "/site-packages/sqlalchemy/orm/session.py", "library"),
    ]
    scene, tid = waiting([*between, frame("orders", 9)], "Condition.wait")
    scene.do(scene.thread("asks"), [*between, *asks], waits_for(0x40, via="Condition.wait", kind="Condition"))
    other = scene.thread("other")
    scene.do(other, [frame("elsewhere", 90), frame(function, line)], SLEEP)
    found = [c for c in blame(scene, SESSIONS).causes if c.path and tid in c.threads and c.path[0].owners]
    assert [c.path[0].owners for c in found] == ([(other,)] if has else [])
    assert not any(c.exact for c in found)


@pytest.mark.parametrize(("cpu", "still"), [(0.2, True), (60.0, False)])
def test_the_result_of_a_pool_of_processes(cpu: float, still: bool) -> None:
    pool = stdlib("ApplyResult.wait", "multiprocessing/pool.py")
    scene = Scene(rules={})
    main = scene.thread("main")
    scene.do(main, [EVENT, pool, frame("<module>", 9)], waits_for(0x40, via="Event.wait"))
    brings = scene.thread("Thread-3 (_handle_results)")
    scene.do(brings, [stdlib("Pool._handle_results", "multiprocessing/pool.py")], SELECT)
    scene.history.apply(Workers(scene.history.now_ns, (Worker(9, 1, 1, Role.WORKER, "worker 1", cpu),)))
    (cause,) = [c for c in blame(scene).causes if main in c.threads]
    assert (cause.kind, "uses no CPU" in cause.what) == ("child", still)


@pytest.mark.parametrize("left", [True, False])
def test_the_result_of_an_executor_that_has_no_process_left(left: bool) -> None:
    result = [stdlib("Condition.wait", "threading.py"), stdlib("Future.result", "concurrent/futures/_base.py")]
    scene, _ = waiting([*result, frame("main", 5)], "Future.result", name="MainThread")
    manages = stdlib("_ExecutorManagerThread.run", "concurrent/futures/process.py")
    scene.do(scene.thread("Thread-1"), [stdlib("wait", "multiprocessing/connection.py"), manages], SELECT)
    below = [Worker(9, 9, 1, Role.HELPER, "resource tracker", 0.0)]
    below += [Worker(10, 10, 1, Role.WORKER, "worker 1", 0.0)] * left
    scene.history.apply(Workers(scene.history.now_ns, tuple(below)))
    told = blame(scene)
    assert ("none of them is left" in told.sentence) is not left


def condition(loops: bool) -> Scene:
    scene = Scene()
    tid = scene.thread("m")
    scene.do(tid, [CONDITION, frame("start", 17)], waits_for(0xA0, via="Condition.wait", kind="Condition"))
    told = Reference(tid, 1, "global", "ready", "start", FILE, 17, source=True, will="", loops=loops)
    row = Related(0xA0, "Condition", "Condition", "ready", (tid,), 0, references=(told,), complete=True)
    scene.history.apply(Relations(scene.now_ns, (row,), 1, 1))
    scene.play(9)
    return scene


@pytest.mark.parametrize(("loops", "named"), [(False, True), (True, False)])
def test_a_condition_that_one_thread_waits_for_without_looking(loops: bool, named: bool) -> None:
    finding = condition(loops).found("lost-wakeup")
    assert (finding is not None) == named
    if finding is not None:
        assert finding.title.startswith("1 thread waits for ready, which nobody will")
        assert str(finding.severity) == "info"


BRIDGE = """\
def get_user():
    future = run_coroutine_threadsafe(fetch(), loop)
    return future.result()
"""
IN_LOOP = [
    CONDITION,
    stdlib("Future.result", "concurrent/futures/_base.py"),
    frame("get_user", 3),
    stdlib("Handle._run", "asyncio/events.py"),
    stdlib("BaseEventLoop._run_once", "asyncio/base_events.py"),
    frame("<module>", 60),
]


@pytest.mark.parametrize("other", [False, True])
def test_a_loop_that_waits_for_what_only_itself_can_run(other: bool) -> None:
    """Where another thread runs a loop, too, the coroutine may be one of that."""
    scene, tid = waiting(IN_LOOP, "Future.result")
    if other:
        scene.do(scene.thread("loop"), IN_LOOP[4:], SELECT)
    cause = max((c for c in blame(scene, BRIDGE).causes if tid in c.threads), key=lambda c: c.thread_s)
    assert cause.kind == ("unexplained" if other else "cycle")


@pytest.mark.parametrize("brief", [True, False])
def test_a_coroutine_that_was_only_just_given_to_the_loop_of_another_thread(brief: bool) -> None:
    """Its task may have ended before tasks were looked at; one that is waited for for long would have been seen."""
    scene = Scene(rules={})
    loop, caller = scene.thread("io"), scene.thread("caller")
    scene.do(loop, IN_LOOP[4:], SELECT)
    row = LoopState(0x10, "asyncio", loop, True, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.01, 10)
    scene.history.apply(Loops(scene.now_ns, 0, (row,), -1, 0, 0, 0, 0, 10, 0, 10, (), 0, "", "", ()))
    for n in range(60):
        if brief or not n:
            scene.do(caller, IN_LOOP[:3], waits_for(0x40 + n, via="Future.result", kind="Future"))
        scene.play(0.05)
    causes = [c for c in blame(scene, BRIDGE, play_s=0).causes if caller in c.threads]
    assert max(causes, key=lambda c: c.thread_s).kind == ("cpu" if brief else "unexplained")


LOCKING = "def acquire(self):\n    while not self.try_():\n        time.sleep(0.05)\ndef attempt():\n    sleep(1)\n"


@pytest.mark.parametrize(("stack", "waits"), [
    ([frame("SpinLock.acquire", 3), frame("work", 30)], True),
    ([frame("attempt", 5), frame("SpinLock.acquire", 2), frame("work", 30)], True),  # in what it calls, in its loop
    ([frame("attempt", 5), frame("work", 30)], False),
    ([frame("attempt", 5), frame("x", 9, "/site-packages/a/b.py", "library"), frame("SpinLock.acquire", 2)], False),
])  # fmt: skip
@pytest.mark.parametrize("alone", [False, True])
def test_a_lock_that_is_tried_for_again_and_again(stack: list[Frame], waits: bool, alone: bool) -> None:
    scene = Scene(rules={})
    tid = scene.thread("job")
    scene.do(tid, stack, SLEEP)
    if not alone:
        scene.do(scene.thread("other"), [EVENT, frame("rest", 90)], waits_for(0x9, via="Event.wait"))
    found = blame(scene, LOCKING)
    told = [c for c in found.causes if tid in c.threads and ("tries for again" in c.what or c.path)]
    assert bool(told) == waits == (found.verdict == ("held up" if alone else "unexplained"))
    # Nobody else of the process could have it.
    assert ("one that has ended and left it" in found.sentence) == (waits and alone)


@pytest.mark.parametrize("comes", [False, True])
def test_a_barrier_to_which_nobody_comes_any_more(comes: bool) -> None:
    scene, tid = waiting([CONDITION, stdlib("Barrier.wait", "threading.py"), frame("cell", 3)], "Barrier.wait")
    other = scene.thread("other")
    scene.do(other, [frame("ask", 90), frame("cell" if comes else "rest", 2)], SLEEP)
    told = [Reference(tid, 1, "global", "step", "cell", FILE, 3)]
    if comes:
        told.append(Reference(other, 1, "global", "step", "cell", FILE, 2))
    row = Related(0x40, "Barrier", "Barrier", "step", (tid,), references=tuple(told), complete=True)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    found = blame(scene, "def cell():\n    ask()\n    step.wait()\n")
    cause = max((c for c in found.causes if tid in c.threads), key=lambda c: c.thread_s)
    assert cause.kind == ("sleep" if comes else "nobody")


@pytest.mark.parametrize(("loop", "quiet"), [("while True:", True), ("while thread.is_alive():", False)])
def test_who_looks_now_and_then_whether_a_thread_has_ended_does_not_wait_for_that(loop: str, quiet: bool) -> None:
    text = f"def keepalive(thread):\n    {loop}\n        thread.join(20)\n        if stopped():\n            break\n"
    scene, _ = waiting([stdlib("Thread.join", "threading.py"), frame("keepalive", 3)], "Thread.join", timed=True)
    scene.do(scene.thread("reader"), [frame("read", 90)], SLEEP)
    found = blame(scene, text)
    assert (not [c for c in found.causes if c.path]) == quiet


LENDS = """\
def view(db):
    while True:
        db.{take}()
        render()
        db.close()
"""


@pytest.mark.parametrize(("take", "held_up"), [("connect", True), ("recv", False)])
def test_what_a_library_lends_is_had_until_it_is_told_to_have_it_back(take: str, held_up: bool) -> None:
    """The wait is the library's own, with a limit, in a loop: who has what it waits for, the program's lines tell."""
    pool = "/site-packages/orm/pool.py"
    wait = [CONDITION, frame("Pool.connect", 9, pool, "library"), frame("view", 3)]
    scene = Scene(rules={})
    having = [scene.thread(f"view-{n}") for n in range(2)]
    wanting = [scene.thread(f"view-{n}") for n in range(2, 5)]
    for tid in having:
        scene.do(tid, [frame("render", 90), frame("view", 4)], SLEEP)
    for tid in wanting:
        scene.do(tid, wait, waits_for(0x40, via="Condition.wait", timed=True, kind="Condition"))
    scene.play(4)
    source = {
        FILE: LENDS.format(take=take).split("\n"),
        pool: ["", "", "", "", "", "class Pool:", "    def connect(self):", "        while True:",
               "            self.cond.wait(1)", "            if self.free:", "                return self.free.pop()"],
    }  # fmt: skip
    found = Tracker(Wakes(lambda name: source.get(name, ()))).blame(Window(scene.history))
    assert found is not None
    taken = [c for c in found.causes if c.path and c.path[0].via == "resource"]
    assert bool(taken) == held_up
    if held_up:
        assert (taken[0].path[0].what, set(taken[0].path[0].owners)) == ("what db has to give", set(having))
        assert not taken[0].exact


@pytest.mark.parametrize(
    ("others", "quiet"), [(waits_for(0x50, via="Queue.get", kind="Queue"), True), (RUNNING, False)]
)
def test_what_comes_now_and_then_by_a_way_that_the_source_does_not_show(others: Wait, quiet: bool) -> None:
    scene = Scene(rules={})
    tid, other = scene.thread("shell"), scene.thread("transport")
    stack = [CONDITION, frame("Pipe.read", 9, "/site-packages/ssh/pipe.py", "library"), frame("serve", 5)]
    scene.do(other, [stdlib("Queue.get", "queue.py"), frame("run", 70)], others)
    for _ in range(6):
        scene.do(tid, [frame("serve", 6)])
        scene.play(0.02)
        scene.do(tid, stack, waits_for(0x40, via="Condition.wait", kind="Condition"))
        scene.play(0.7)
    found = Tracker(Wakes(lambda name: ())).blame(Window(scene.history))
    assert found is not None
    assert (found.unexplained < 0.1) == quiet  # of two threads


def test_what_came_and_comes_no_more_is_not_quiet() -> None:
    scene = Scene(rules={})
    tid, other = scene.thread("shell"), scene.thread("transport")
    stack = [CONDITION, frame("Pipe.read", 9, "/site-packages/ssh/pipe.py", "library"), frame("serve", 5)]
    scene.do(other, [frame("run", 70)], SLEEP)
    for _ in range(4):
        scene.do(tid, [frame("serve", 6)])
        scene.play(0.02)
        scene.do(tid, stack, waits_for(0x40, via="Condition.wait", kind="Condition"))
        scene.play(0.2)
    scene.play(8)
    found = Tracker(Wakes(lambda name: ())).blame(Window(scene.history))
    assert found is not None and found.unexplained > 0.3  # of two threads


@pytest.mark.parametrize("held", [False, True])
def test_a_lock_that_is_kept_in_a_server_is_held_by_somebody(held: bool) -> None:
    """Tried for again and again, or waited for as a message: who waits for a message has nothing to do."""
    polled = [frame("Lock.acquire", 235, "/site-packages/redis/lock.py", "library"), frame("work", 2)]
    told = [
        frame("ListCommands.blpop", 4862, "/site-packages/redis/commands/core.py", "library"),
        frame("Lock.acquire", 231, "/site-packages/redis_lock/__init__.py", "library"),
        frame("work", 2),
    ]
    for stack, wait in ((polled, SLEEP), (told, recv())):
        scene = Scene(rules={})
        scene.do(scene.thread("w-0"), stack, wait)
        if held:
            scene.do(scene.thread("w-1"), [frame("ask", 90), frame("work", 3)], recv())
        found = blame(scene, "def work():\n    with lock:\n        ask()\n")
        step = next(c.path[0] for c in found.causes if c.path)
        assert (step.via, bool(step.owners), found.unexplained) == ("lock", held, 0)
        assert found.verdict == "held up"


@pytest.mark.parametrize("server", [False, True])
def test_a_message_that_another_thread_of_the_library_reads(server: bool) -> None:
    """A server's handler has no request; a client waits for the other end."""
    folder = "/site-packages/websockets/sync"
    stack = [
        frame("Assembler.get_next_frame", 90, f"{folder}/messages.py", "library"),
        frame("Connection.recv", 328, f"{folder}/connection.py", "library"),
        frame("work", 5),
        *([frame("serve.<locals>.sock_handler", 781, f"{folder}/server.py", "library")] if server else []),
    ]
    found = blame(waiting(stack, "SimpleQueue.get")[0])
    assert found.unexplained == 0
    assert [c.kind for c in found.causes if "message" in c.what] == ([] if server else ["peer"])


LOOP = "def f(fn, *a):\n    while True:\n"


@pytest.mark.parametrize(("body", "line", "error"), [
    ("        try: return ask()\n        except (E, err.URLError):\n            sleep(1)", 5, "E, URLError"),
    ("        try: return ask()\n        except OSError: pass\n        sleep(1)", 5, "OSError"),
    ("        try: return ask()\n        except Exception: sleep(1)", 4, ""),
    ("        try: r = fn(*a)\n        except E: keep()\n        if good(r): return r\n        sleep(1)", 6, "E"),
    ("        try: ask()\n        except OSError: log()\n        sleep(1)", 5, None),  # a pause between two rounds
    ("        try: return q.get_nowait()\n        except queue.Empty: sleep(1)", 4, None),
    ("        try: return jobs.next()\n        except LookupError: sleep(1)", 4, None),
    ("        try: ask()\n        except E:\n            sleep(1)\n            raise", 5, None),
    # A worker that calls what it is given is in the call; one that calls it every minute pauses in any case.
    ("        try: r = fn(*a)\n        except E: r = None\n        if stopped: return\n        tell(r)", 3, None),
    ("        try: fn(*a)\n        except E: log()\n        sleep(60)", 5, None),
    ("        try: fn(*a)\n        except E: log()\n        if stop.wait(60): return", 5, None),
])  # fmt: skip
def test_a_pause_between_two_tries(body: str, line: int, error: str | None) -> None:
    assert File(parse(LOOP + body + "\n")).tries_again("f", line) == error


@pytest.mark.parametrize(("line", "name"), [
    ("await asyncio.Future()", ""), ("await loop.create_future()", ""),
    ("await asyncio.get_running_loop().create_future()", ""),
    ("await self.closing", "closing"), ("x = await done", "done"),
    ("await asyncio.Event().wait()", ""), ("await self.stop.wait()", None), ("await Event(3).wait()", None),
    ("await asyncio.Future(loop=mine)", ""), ("await pool.Future(1)", None),
    ("await ask()", None), ("await a, await b", None),
])  # fmt: skip
def test_what_a_line_awaits(line: str, name: str | None) -> None:
    assert File(parse(f"async def f(self):\n    {line}\n")).awaited("f", 2) == name


@pytest.mark.parametrize(("call", "set_by_it"), [
    ("loop.add_signal_handler(SIGTERM, done.set_result, None)", True),
    ("signal.signal(SIGHUP, lambda *a: loop.call_soon_threadsafe(self.done.set_result, 1))", True),
    ("signal.signal(SIGHUP, lambda *a: done.set())", True),
    ("loop.call_later(5, done.set_result, None)", False), ("signal.signal(SIGHUP, done.look)", False),
])  # fmt: skip
def test_what_a_handler_of_a_signal_sets(call: str, set_by_it: bool) -> None:
    assert File(parse(f"def f(self):\n    {call}\n")).by_signal("done") is set_by_it


@pytest.mark.parametrize(("call", "set_by_it"), [
    ("loop.add_reader(fd, lambda: done.set_result(read()))", True), ("loop.add_reader(fd, done.set)", True),
    ("loop.add_writer(fd, told)", True), ("loop.add_reader(fd, other)", False), ("loop.call_soon(told)", False),
])  # fmt: skip
def test_what_is_set_when_a_descriptor_is_ready(call: str, set_by_it: bool) -> None:
    text = f"def f(fd):\n    def told():\n        done.set_result(1)\n    {call}\n"
    assert File(parse(text)).by_descriptor("done") is set_by_it


@pytest.mark.parametrize(("body", "main", "verdict"), [
    ("while True:\n        if n in results: return results.pop(n)\n        sleep(1)", False, "poll"),
    ("while exists(path):\n        sleep(1)\n        pass", False, "poll"),
    ("while exists(path) and time.time() < until:\n        sleep(1)\n        pass", False, "poll"),
    ("while time.time() < until:\n        sleep(1)\n        pass", False, "idle"),
    ("while (datetime.now() - self.since).seconds < 60:\n        sleep(1)\n        pass", False, "idle"),
    ("while not stopped:\n        sleep(1)\n        pass", False, "idle"),  # until it is told to end
    ("while True:\n        if n is None: return\n        sleep(1)", False, "idle"),  # nothing has come
    ("while True:\n        look()\n        sleep(1)", False, "idle"),
    ("while exists(path):\n        sleep(1)\n        pass", True, "idle"),  # outermost: nobody waits for it
])  # fmt: skip
def test_who_looks_again_and_again_for_what_has_not_come(body: str, main: bool, verdict: str) -> None:
    scene, text = Scene(rules={}), f"def take(n):\n    {body}\n"
    line = text.split("\n").index("        sleep(1)") + 1
    for n in range(2):
        scene.do(scene.thread(f"ask-{n}"), [frame("take", line), *([] if main else [frame("work", 90)])], SLEEP)
    assert blame(scene, text).verdict == verdict


def test_a_consumer_that_polls_a_queue_by_hand_has_no_work() -> None:
    text = "def take():\n    while not items:\n        sleep(1)\n    return items.pop()\n"
    text += "def work():\n    while True:\n        take()\n"
    scene = Scene(rules={})
    for n in range(2):
        scene.do(scene.thread(f"worker-{n}"), [frame("take", 3), frame("work", 7)], SLEEP)
    assert blame(scene, text).verdict == "idle"


TRIES = "        while True:\n            try: return self.free.popleft()\n            except IndexError: sleep(0.01)\n"
LOOKS = "        while not self.free:\n            sleep(0.01)\n        return self.free.pop()\n"


@pytest.mark.parametrize(("body", "back", "verdict"), [
    (TRIES, "pool.give(c)", "held up"),
    (LOOKS, "pool.give(c)", "held up"),
    (TRIES, "pool.give(other)", "outside"),  # what is put in is something else: a consumer that polls for work
    (TRIES, "pass", "outside"),
    (TRIES, "try: check(c)\n        except E: pool.give(c)", "outside"),
    (TRIES, "if failed: pool.give(c)", "outside"),  # work that is tried again
])  # fmt: skip
def test_a_pool_by_hand_that_is_looked_into_again_and_again(body: str, back: str, verdict: str) -> None:
    """Where nobody is held up, all that goes on is one wait for a peer."""
    text = f"class Pool:\n    def get(self):\n{body}    def give(self, c):\n        self.free.append(c)\n"
    first = text.count("\n")
    text += f"def work():\n    while True:\n        c = pool.get()\n        use(c)\n        {back}\n"
    scene = Scene(rules={})
    line = 1 + text.split("\n").index(next(row for row in text.split("\n") if "sleep(" in row))
    for n in range(4):
        scene.do(scene.thread(f"w-{n}"), [frame("Pool.get", line), frame("work", first + 3)], SLEEP)
    scene.do(scene.thread("w-9"), [frame("use", 90), frame("work", first + 4)], recv())
    assert blame(scene, text).verdict == verdict


def test_a_pool_by_hand_of_plain_functions() -> None:
    text = "def borrow():\n    while not free:\n        sleep(0.02)\n    return free.pop()\n"
    text += "def give(x):\n    free.add(x)\n"
    text += "def work():\n    while True:\n        one = borrow()\n        use(one)\n        give(one)\n"
    scene = Scene(rules={})
    for n in range(3):
        scene.do(scene.thread(f"w-{n}"), [frame("borrow", 3), frame("work", 9)], SLEEP)
    scene.do(scene.thread("w-9"), [frame("use", 90), frame("work", 10)], recv())
    assert blame(scene, text).verdict == "held up"


@pytest.mark.parametrize(("at", "given"), [(22, True), (24, False), (20, False)])
def test_a_lock_that_one_method_takes_and_another_one_gives_back(at: int, given: bool) -> None:
    """Who is between the two calls has it; who is behind the last one, or at the same line, has not."""
    text = "class Store:\n    def begin(self):\n        self.writing.acquire()\n        self.open = True\n"
    text += "    def finish(self):\n        self.writing.release()\n" + "\n" * 12
    text += "def commit(store):\n    store.begin()\n    prepare()\n    vote()\n    store.finish()\n    report()\n"
    scene = Scene(rules={})
    for n in range(3):
        waits = waits_for(0x40, via="", kind="Lock")
        scene.do(scene.thread(f"w-{n}"), [frame("Store.begin", 3), frame("commit", 20)], waits)
    scene.do(scene.thread("other"), [frame("vote", 90), frame("commit", at)], recv())
    assert (blame(scene, text).verdict == "held up") == given


@pytest.mark.parametrize(("test", "polls"), [
    ("not self.open_orders_loaded", True),
    ("not self.running", True),
    ("self.running", False),  # until the program ends
    ("not self.stopped", False),
])  # fmt: skip
def test_what_a_loop_waits_to_become_true_is_no_sign_that_it_goes_on(test: str, polls: bool) -> None:
    text = f"def wait(self):\n    while {test}:\n        sleep(0.05)\n"
    scene = Scene(rules={})
    for n in range(3):
        scene.do(scene.thread(f"web-{n}"), [frame("wait", 3), frame("work", 90)], SLEEP)
    assert (blame(scene, text).verdict == "poll") == polls


@pytest.mark.parametrize(("error", "loops", "polls"), [
    ("FileExistsError", False, True),  # it wants to be the one that makes the file
    ("FileExistsError", True, False),  # a consumer that takes again and again
    ("Empty", False, True),
])  # fmt: skip
def test_what_is_tried_until_it_is_not_there_any_more_is_waited_for(error: str, loops: bool, polls: bool) -> None:
    text = "def enter(self):\n    while True:\n        try:\n            self.make()\n            return\n"
    text += f"        except {error}:\n            sleep(0.1)\n"
    text += f"def index():\n    {'while' if loops else 'if'} True:\n        enter()\n"
    scene = Scene(rules={})
    for n in range(3):
        scene.do(scene.thread(f"index-{n}"), [frame("enter", 7), frame("index", 10)], SLEEP)
    assert (blame(scene, text).verdict == "poll") == polls


@pytest.mark.parametrize(("sets", "unexplained"), [("f.set_result(1)", False), ("f.cancel()", True)])
def test_futures_that_a_dispatcher_takes_out_of_a_list(sets: str, unexplained: bool) -> None:
    text = f"def dispatch():\n    while True:\n        read()\n        f = pending.pop(0)\n        {sets}\n"
    text += "def ask():\n    mine = Future()\n    pending.append(mine)\n    return mine.result()\n"
    future = [stdlib("Condition.wait", "threading.py"), stdlib("Future.result", "concurrent/futures/_base.py")]
    scene, _ = waiting([*future, frame("ask", 9)], "Future.result")
    scene.do(scene.thread("dispatch"), [frame("read", 90), frame("dispatch", 3)], recv())
    found = blame(scene, text)
    assert (found.unexplained > 0.3) == unexplained
    assert any(s.what == "the result of a future" for c in found.causes for s in c.path) != unexplained


@pytest.mark.parametrize("works", [True, False])
def test_who_waits_for_the_next_job_computes_no_result(works: bool) -> None:
    """One of those who set the futures of a queue has a job, the others have none."""
    text = "def worker():\n    while True:\n        f = jobs.get()\n        ask()\n        f.set_result(1)\n"
    text += "def client():\n    f = Future()\n    jobs.put(f)\n    return f.result()\n"
    future = [stdlib("Condition.wait", "threading.py"), stdlib("Future.result", "concurrent/futures/_base.py")]
    scene, _ = waiting([*future, frame("client", 9)], "Future.result")
    get = [stdlib("Condition.wait", "threading.py"), stdlib("Queue.get", "queue.py")]
    for n in range(3):
        scene.do(scene.thread(f"worker-{n}"), [*get, frame("worker", 3)], waits_for(0x50, via="Queue.get"))
    if works:
        scene.do(scene.thread("worker-3"), [frame("ask", 90), frame("worker", 4)], recv())
    found = blame(scene, text)
    ends = {c.kind for c in found.causes if any(s.what.startswith("the result") for s in c.path)}
    assert ends == ({"peer"} if works else {"idle"}), found.causes


RETRIES = """\
def fetch():
    while True:
        try:
            return ask()
        except OSError:
            pause(1)
def pause(n):
    sleep(n)
"""
CALLS_AGAIN = "def call(fn, *args):\n    while True:\n        try: return fn(*args)\n        except E: sleep(1)\n"


@pytest.mark.parametrize("number", [1, 3])
def test_who_tries_again_what_fails_is_no_idle_thread(number: int) -> None:
    scene = Scene(rules={})
    for n in range(number):
        scene.do(scene.thread(f"web-{n}"), [frame("pause", 8), frame("fetch", 6), frame("work", 90)], SLEEP)
    found = blame(scene, RETRIES)
    assert (found.verdict, found.severity) == ("retry", Severity.WARN if number == 3 else Severity.INFO)
    assert "OSError" in found.sentence


@pytest.mark.parametrize(("text", "verdict"), [
    (CALLS_AGAIN, "retry"),  # what the program gave it
    (RETRIES.replace("fetch", "call"), "clear"),  # what the library does in a thread of its own
])  # fmt: skip
def test_a_library_that_tries_again(text: str, verdict: str) -> None:
    scene = Scene(rules={})
    line = 4 if text == CALLS_AGAIN else 6
    scene.do(scene.thread("t"), [frame("call", line, WATCH, "library"), stdlib("Thread.run", "threading.py")], SLEEP)
    assert blame(scene, text, WATCH).verdict in (verdict, "idle" if verdict == "clear" else verdict)


@pytest.mark.parametrize(("body", "line", "takes"), [
    ("    while True:\n        d, a = await self.got.get()\n        self.t.sendto(d, a)", 3, True),
    ("    while True:\n        self.t.sendto(b'?', a)\n        d = await self.got.get()", 4, False),
    ("    self.t.sendto(b'?', a)\n    return await self.got.get()", 3, False),
    ("    for a in them:\n        d = await self.got.get()", 3, False),
    ("    while True:\n        a = await self.names.resolve(n)", 3, False),  # it has asked for that
])  # fmt: skip
def test_who_takes_what_anybody_sends(body: str, line: int, takes: bool) -> None:
    assert File(parse(f"async def f(self):\n{body}\n")).takes_what_comes("f", line) is takes


@pytest.mark.parametrize(("body", "line", "on"), [
    ("    async for x in q:\n        use(x)", 2, "q"),
    ("    while True:\n        x = await self.q.get()\n        use(x)", 3, "q"),
    ("    return await q.get()", 2, ""),  # it may be an answer
    ("    while True:\n        x = await q.get()\n        q.put(x)", 3, ""),  # a pool
    ("    async for x in other:\n        use(x)", 2, ""),  # not seen who puts in
])  # fmt: skip
def test_what_a_consumer_takes_its_items_of(body: str, line: int, on: str) -> None:
    text = f"async def f(self):\n{body}\nasync def ask():\n    await q.put(1)\n"
    assert File(parse(text)).item_awaited("f", line) == on
