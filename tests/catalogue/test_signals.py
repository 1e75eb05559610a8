"""Events and Conditions: who will wake those that wait, where it is not whom their names lead to at once."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame, recv, stdlib, waits_for

from concview.analysis.blame.tracker import Tracker
from concview.analysis.window import Window
from concview.model import Reference, Related, Relations
from concview.snapshot import Blame
from concview.source.wakes import Wakes

FILE, CLIENT, CACHE = "/srv/app.py", "/site-packages/mq/client.py", "/site-packages/cache/memory.py"
CORE = "/site-packages/cache/core.py"
CONDITION, EVENT = stdlib("Condition.wait", "threading.py"), stdlib("Event.wait", "threading.py")


def blame(scene: Scene, sources: dict[str, str]) -> Blame:
    scene.play(8)
    found = Tracker(Wakes(lambda name: sources.get(name, "").split("\n"))).blame(Window(scene.history))
    assert found is not None
    return found


READ_TWICE = """\
class RW:
    def read(self):
        with self.lock:
            while self.waiting: self.ok.wait()
            self.readers += 1
    def done(self):
        with self.lock:
            self.readers -= 1
            self.ok.notify_all()
    def write(self):
        with self.lock:
            self.waiting += 1
            while self.readers: self.ok.wait()
            self.waiting -= 1
def total():
    rw.read()
    price()
    rw.done()
"""


@pytest.mark.parametrize(("line", "has"), [(13, True), (12, False)])
def test_who_has_counted_himself_in_is_in_the_way(line: int, has: bool) -> None:
    """Writers first: readers wait for a writer that waits itself."""
    scene = Scene(rules={})
    reader, writer = scene.thread("report"), scene.thread("importer")
    for tid in (reader, writer):
        scene.do(tid, [frame("start", 90)])
    scene.play(1)
    scene.do(
        reader,
        [CONDITION, frame("RW.read", 4), frame("price", 30), frame("total", 17)],
        waits_for(0x40, via="Condition.wait", kind="Condition"),
    )
    scene.do(writer, [CONDITION, frame("RW.write", line)], waits_for(0x40, via="Condition.wait", kind="Condition"))
    causes = [c for c in blame(scene, {FILE: READ_TWICE}).causes if reader in c.threads and c.path]
    assert [c.path[0].owners for c in causes] == ([(writer,)] if has else [])


REACTOR = """\
class Reactor:
    def run(self):
        while True:
            self.calls.popleft()()
    def call(self, f):
        done = Event()
        def go():
            f(); done.set()
        self.calls.append(go)
        done.wait()
"""


def test_what_was_given_to_a_loop_is_done_by_the_thread_that_runs_it() -> None:
    scene = Scene(rules={})
    loop = scene.thread("reactor")
    scene.do(loop, [frame("lookup", 30), frame("Reactor.run", 4)], recv())
    callers = [scene.thread(f"web-{n}") for n in range(3)]
    for n, tid in enumerate(callers):
        stack = [EVENT, frame("Reactor.call", 10), frame("work", 40)]
        scene.do(tid, stack, waits_for(0x50 + n, via="Event.wait", kind="Event"))
    (cause,) = [c for c in blame(scene, {FILE: REACTOR}).causes if c.path]
    assert set(cause.threads) == set(callers) and cause.path[0].owners == (loop,)


MQ = """\
class Info:
    def wait(self):
        self.condition.wait()
    def done(self):
        self.condition.notify()
class Client:
    def handle(self):
        self.on_message()
        self.info.done()
"""


@pytest.mark.parametrize(("between", "stuck"), [([frame("on_message", 14)], True), ([], False)])
def test_a_callback_that_waits_for_the_thread_that_called_it(between: list[object], stuck: bool) -> None:
    scene = Scene(rules={})
    stack = [
        CONDITION,
        frame("Info.wait", 3, CLIENT, "library"),
        *between,
        frame("Client.handle", 8, CLIENT, "library"),
    ]
    scene.do(scene.thread("mq"), stack, waits_for(0x60, via="Condition.wait", kind="Condition"))  # type: ignore[arg-type]
    found = blame(scene, {CLIENT: MQ})
    assert (found.verdict == "stuck") is stuck
    assert not stuck or "handle of this very thread" in found.sentence


MEMORY = """\
class Core:
    def wait(self, entry):
        entry.condition.wait()
    def mark_done(self, entry):
        cond = entry.condition
        entry.condition = None
        cond.notify_all()
"""
WRAPPER = """\
def cached(func):
    def wrapper(*args, **kwargs):
        if busy(): return core.wait(entry)
        return calculate(core, func, args, kwargs)
    return wrapper
def calculate(core, func, args, kwargs):
    try:
        return func(*args, **kwargs)
    finally:
        core.mark_done(1)
"""


def test_a_librarys_class_of_threads_with_a_decorated_run_is_its_own() -> None:
    scene = Scene(rules={})
    stack = [CONDITION, frame("Core.wait", 3, CACHE, "library"), frame("cached.<locals>.wrapper", 3, CORE, "library")]
    tid = scene.thread("history")
    scene.do(tid, [frame("start", 4, CORE, "library")])
    scene.play(1)
    scene.do(
        tid,
        [*stack, stdlib("Thread._bootstrap_inner", "threading.py")],
        waits_for(0x70, via="Condition.wait", kind="Condition"),
    )
    assert blame(scene, {CORE: WRAPPER}).unexplained < 0.1


def test_a_decorated_function_waits_for_the_thread_that_computes_it() -> None:
    """No frame of those that wait is the program's own, and the wake-up is in another file of the library, by another
    name of the object."""
    scene = Scene(rules={})
    around = "cached.<locals>.wrapper"
    computes = scene.thread("web-0")
    outer = [frame("calculate", 8, CORE, "library"), frame(around, 4, CORE, "library")]
    scene.do(computes, [frame("rate", 6), *outer, stdlib("Thread.run", "threading.py")], recv())
    others = [scene.thread(f"web-{n}") for n in (1, 2)]
    for tid in others:
        stack = [CONDITION, frame("Core.wait", 3, CACHE, "library"), frame(around, 3, CORE, "library")]
        scene.do(
            tid, [*stack, stdlib("Thread.run", "threading.py")], waits_for(0x70, via="Condition.wait", kind="Condition")
        )
    (cause,) = [c for c in blame(scene, {CACHE: MEMORY, CORE: WRAPPER}).causes if c.path]
    assert set(cause.threads) == set(others) and cause.path[0].owners == (computes,)


ASKS = """\
def worker():
    while True:
        f, done = jobs.get()
        f(); done.set()
def ask(f):
    done = Event()
    jobs.put((f, done))
    done.wait()
"""


@pytest.mark.parametrize("known", ["in a queue", "elsewhere"])
def test_one_whose_request_lies_in_a_queue_waits_for_those_that_answer(known: str) -> None:
    """The worker answers somebody else now: the object that it calls so is another one."""
    scene = Scene(rules={})
    worker, asks, idles = scene.thread("worker"), scene.thread("asks"), scene.thread("idles")
    scene.do(worker, [frame("render", 40), frame("worker", 4)], SLEEP)
    scene.do(asks, [EVENT, frame("ask", 8), frame("work", 50)], waits_for(0x80, via="Event.wait", kind="Event"))
    scene.do(idles, [frame("keep", 60)], SLEEP)
    mine = Reference(asks, 1, "local", "done", "ask", FILE, 8, source=True, past="wait")
    other = Reference(worker, 1, "local", "done", "worker", FILE, 4, source=True, will="set", will_line=4)
    kept = Reference(idles, 1, "local", "one", "keep", FILE, 60, source=True)
    references = (mine,) if known == "in a queue" else (mine, kept)
    rows = (
        Related(0x80, "Event", "Event", "done", (asks,), references=references, complete=True),
        Related(0x90, "Event", "Event", "done", (), references=(other,), complete=True),
    )
    scene.history.apply(Relations(scene.now_ns, rows, 3, 3))
    causes = [c for c in blame(scene, {FILE: ASKS}).causes if asks in c.threads and c.path]
    assert bool(causes) is (known == "in a queue")
    assert not causes or causes[0].path[0].owners == (worker,)
