"""import-contention and import-deadlock: who waits for a module, who imports it, circles of it."""

from __future__ import annotations

import pytest
from build import RUNNING, SLEEP, Scene, frame, holds, recv, site, stdlib, waits_for

from concview.analysis import graph
from concview.model import Confidence, Frame, Related, Relations, Severity, Wait, WaitKind

MODULE = 0x7F0000002000
LOCK = site("guard", 3, "load", "rates.py")


def frozen(function: str) -> Frame:
    return Frame(function, "<frozen importlib._bootstrap>", 1, "", "frozen")


def waits(owner: int) -> Wait:
    return Wait(WaitKind.FUTEX, "futex", lock=MODULE, lock_kind="ModuleLock", via="import", target=owner)


def wanting(line: int = 5) -> list[Frame]:
    lock = [frozen("_ModuleLock.acquire"), frozen("_ModuleLockManager.__enter__"), frozen("_find_and_load")]
    return [*lock, frame("load", line, "/srv/rates.py", text="import rates")]


def importing(*inner: Frame) -> list[Frame]:
    body = frame("<module>", 10, "/srv/rates.py")
    system = [frozen("_call_with_frames_removed"), frozen("_load_unlocked"), frozen("_find_and_load")]
    return [*inner, body, *system, frame("work", 50)]


def told(scene: Scene, owner: int, *waiters: int) -> None:
    """What memory says of the module's lock."""
    lock = Related(MODULE, "ModuleLock", "_ModuleLock", "rates", waiters, value=1, owner=owner, complete=True)
    scene.history.apply(Relations(scene.now_ns, (lock,), 3, 3))


def test_who_waits_and_who_imports() -> None:
    scene = Scene()
    owner, *others = (scene.thread(f"web-{n}") for n in range(4))
    scene.do(owner, importing(), recv())
    for tid in others:
        scene.do(tid, wanting(), waits(owner))
    told(scene, owner, *others)
    scene.play(9)
    finding = scene.found("import-contention")
    assert finding is not None
    assert (finding.severity, finding.confidence) == (Severity.WARN, Confidence.EXACT)
    assert finding.threads == (*others, owner)
    assert "for the import of rates" in finding.summary and "web-0 imports it, in rates.py:10" in finding.summary
    assert "3 threads have waited for" in finding.summary
    assert finding.where[0].line == 10
    assert {"deadlock", "import-deadlock"}.isdisjoint(scene.ever())


def test_without_the_owner_it_is_inferred() -> None:
    scene = Scene(without=("relations",))
    owner, other = scene.thread("web-0"), scene.thread("web-1")
    scene.do(owner, importing(), recv())
    scene.do(other, wanting(), Wait(WaitKind.FUTEX, "futex", via="import"))
    scene.play(9)
    finding = scene.found("import-contention")
    assert finding is not None
    assert finding.confidence is Confidence.INFERRED
    assert finding.threads == (other, owner)


def test_a_quick_import_is_silent() -> None:
    scene = Scene()
    owner, other = scene.thread("web-0"), scene.thread("web-1")

    def script(at: float) -> None:
        scene.do(owner, importing() if at < 0.3 else [frame("work", 51)], RUNNING if at < 0.3 else SLEEP)
        scene.do(other, wanting() if at < 0.3 else [frame("work", 51)], waits(owner) if at < 0.3 else SLEEP)

    scene.play(8, script)
    assert "import-contention" not in scene.ever()


@pytest.mark.parametrize("by", ["join", "lock"])
def test_a_body_that_waits_for_a_thread_that_imports_it(by: str) -> None:
    scene = Scene()
    owner, loader, late = scene.thread("main"), scene.thread("loader"), scene.thread("late")
    if by == "join":
        ends = Wait(WaitKind.FUTEX, "futex", lock=0xF0, via="Thread.join", target=loader)
        scene.do(owner, [stdlib("Thread.join", "threading.py"), *importing()], ends)
        scene.do(loader, wanting(), waits(owner))
    else:
        scene.do(owner, importing(), waits_for(0xA0))
        scene.do(loader, wanting(), waits(owner), holds(0xA0, LOCK))
    scene.do(late, wanting(60), waits(owner))
    told(scene, owner, loader, late)
    scene.play(9)
    finding = scene.found("import-deadlock")
    assert finding is not None
    assert (finding.score, finding.confidence) == (100, Confidence.EXACT)
    assert finding.threads == (owner, loader, late)
    assert "loader waits for the import of rates" in finding.summary
    assert ("the end of loader" if by == "join" else "guard, held by loader") in finding.summary
    assert "1 more thread waits behind them" in finding.summary
    assert [f.id for f in scene.judgement.findings if not f.recent] == ["import-deadlock"]


def test_every_way_of_waiting_for_a_thread_has_words() -> None:
    """What a wait with a target is called is no reason to fail."""
    scene = Scene()
    one, other = scene.thread("a"), scene.thread("b")
    scene.do(other, [frame("g", 9)], recv())
    for via in (*graph.LINKS, "Something.new"):
        wait = Wait(WaitKind.FUTEX, "futex", lock=0xF0, via=via, target=other)
        scene.do(one, [frame("f", 8)], wait)
        scene.play(0.1)
        edges = graph.edges(scene.history.threads.values(), True)
        assert [(e.waiter, e.holder) for e in edges] == [(one, other)]
        assert edges[0].via in graph.LINKS
