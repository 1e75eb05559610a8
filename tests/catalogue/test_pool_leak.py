"""pool-leak: all are out, and nobody is left who would give one back."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame, site, stdlib, waits_for

from concview.analysis.window import Window
from concview.catalogue.rules.pool_leak import RULE
from concview.model import Confidence, Reference, Related, Relations, Severity

ADDRESS = 0xA0
TAKES = site("pool", 6, "job", how="get")


def reference(tid: int, **more: object) -> Reference:
    known: dict[str, object] = {"source": True, "will": "release", "will_line": 9, "loops": True}
    path = str(more.pop("path", "sem"))
    return Reference(tid, 1, "global", path, "fetch", "/srv/app.py", 5, (0, 0), **{**known, **more})  # type: ignore[arg-type]


def semaphore(*more: Reference, value: int = 0, complete: bool = True) -> Scene:
    scene = Scene()
    tids = [scene.thread(f"fetch-{n}") for n in range(2)]
    stack = [stdlib("Semaphore.acquire", "threading.py"), frame("fetch", 5, text="sem.acquire()")]
    for tid in tids:
        scene.do(tid, stack, waits_for(ADDRESS, via="Semaphore.acquire", kind="Semaphore"))
    other = scene.thread("other")
    scene.do(other, [frame("elsewhere", 50)], SLEEP)
    references = (*(reference(t) for t in tids), *more)
    one = Related(
        ADDRESS,
        "Semaphore",
        "BoundedSemaphore",
        "sem",
        tuple(tids),
        value,
        3,
        references=references,
        complete=complete,
        lent=3 - value,
    )
    scene.history.apply(Relations(scene.now_ns, (one,), 3, 3))
    scene.play(9)
    return scene


def test_permits_that_nobody_has() -> None:
    scene = semaphore()
    finding = scene.found("pool-leak")
    assert finding is not None
    assert (finding.severity, finding.confidence, finding.score) == (Severity.WARN, Confidence.INFERRED, 92)
    assert finding.title.startswith("All 3 permits of sem are checked out")
    assert [f.id for f in scene.judgement.findings if not f.recent] == ["pool-leak"]


def test_the_source_names_who_took_them() -> None:
    scene = semaphore()
    lines = ["", "def leaves(n):", "    sem.acquire()", "    if n: return", "    sem.release()"]
    found = list(RULE.observe(Window(scene.history, lines_of=lambda _: [*lines, "sem.acquire()"])))
    assert [o.where[0].line for o in found] == [5]  # the waiter's own line is not in that text: nobody is named
    lines[4] = "    sem.acquire()"  # line 5 of the file takes
    lines += ["    query()", "    sem.release()"]
    (one,) = RULE.observe(Window(scene.history, lines_of=lambda _: lines))
    assert "leaves (app.py:3) takes one and gives it back in line 7, not in a finally" in one.summary
    assert (one.where[0].line, one.where[0].function) == (3, "leaves")


@pytest.mark.parametrize(("release", "leaks"), [("done = sem.release", False), ("sem.release()", True)])
def test_what_gives_one_back_is_handed_on(release: str, leaks: bool) -> None:
    scene = semaphore()
    lines = ["", "", "", "def fetch():", "    sem.acquire()", f"    {release}", "    jobs.put(done)"]
    assert bool(list(RULE.observe(Window(scene.history, lines_of=lambda _: lines)))) == leaks


@pytest.mark.parametrize("scene", [
    {"more": reference(103, past="acquire", loops=False)},  # has one, and will come to release it
    {"more": reference(103, past="", loops=False)},
    {"more": reference(103, source=False, will="", loops=False)},  # what it will do is not known
    {"value": 1}, {"complete": False},
])  # fmt: skip
def test_where_somebody_may_give_one_back(scene: dict[str, object]) -> None:
    more = scene.pop("more", None)
    made = semaphore(*([more] if isinstance(more, Reference) else []), **scene)  # type: ignore[arg-type]
    assert "pool-leak" not in made.ever()


@pytest.mark.parametrize(("text", "leak"), [("mine.acquire()", False), ("following.acquire()", True)])
def test_who_hands_it_on_and_never_takes_it_gives_a_signal(text: str, leak: bool) -> None:
    """A ring: its turn comes later, however long that takes on a full machine."""
    scene = semaphore(reference(103, path="following"))
    lines = ["def member(mine, following):", "    while True:", f"        {text}", "        following.release()"]
    assert bool(list(RULE.observe(Window(scene.history, lines_of=lambda _: lines)))) == leak


def empty(name: str, tid: int) -> Related:
    puts = (reference(tid, will="put"),)
    return Related(ADDRESS, "Queue", "Queue", name, (tid,), 0, 0, references=puts, complete=True)


def test_a_worker_at_an_empty_queue_is_idle() -> None:
    """It puts follow-up work into the queue that it reads from, which is no pool."""
    scene = Scene()
    tid = scene.thread("worker")
    stack = [stdlib("Queue.get", "queue.py"), frame("work", 5, text="n = jobs.get()")]
    scene.do(tid, stack, waits_for(ADDRESS, via="Queue.get", kind="Queue"))
    queue = Related(
        ADDRESS, "Queue", "Queue", "jobs", (tid,), 0, 0, references=(reference(tid, will="put"),), complete=True
    )
    scene.history.apply(Relations(scene.now_ns, (queue,), 1, 1))
    scene.play(9)
    assert scene.ever() == set()


def test_a_queue_used_as_a_pool() -> None:
    scene = Scene()
    tid = scene.thread("job")
    stack = [stdlib("Queue.get", "queue.py"), frame("job", 6, text="c = pool.get()", checkout=TAKES)]
    scene.do(tid, stack, waits_for(ADDRESS, via="Queue.get", kind="Queue"))
    queue = Related(
        ADDRESS, "Queue", "Queue", "pool", (tid,), 0, 0, references=(reference(tid, will="put"),), complete=True
    )
    scene.history.apply(Relations(scene.now_ns, (queue,), 1, 1))
    scene.play(9)
    finding = scene.found("pool-leak")
    assert finding is not None and finding.threads == (tid,)


@pytest.mark.parametrize("line", [9, 5])
def test_one_that_has_a_connection_need_not_use_it(line: int) -> None:
    """A thread past the line that asks has what it asked for, also while it waits for something else altogether."""
    scene = Scene()
    tids = [scene.thread(f"web-{n}") for n in range(2)]
    impl = frame("QueuePool._do_get", 1, "/site-packages/sqlalchemy/pool/impl.py", "library")
    stack = [stdlib("Condition.wait", "threading.py"), impl, frame("checkout", 6, text="with engine.connect() as c:")]
    for tid in tids:
        scene.do(tid, stack, waits_for(ADDRESS, via="Condition.wait", kind="Condition"))
    scene.do(scene.thread("web-2"), [frame("charge", 30), frame("checkout", line)], SLEEP)
    pool = Related(ADDRESS, "Condition", "Condition", "not_empty", tuple(tids), 0, 0, references=(), complete=True)
    scene.history.apply(Relations(scene.now_ns, (pool,), 1, 1))
    scene.play(9)
    assert ("pool-leak" in scene.ever()) == (line < 6)
