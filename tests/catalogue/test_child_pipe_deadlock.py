"""child-pipe-deadlock: a child at a full pipe whose parent waits for its end."""

from __future__ import annotations

from build import RUNNING, SELECT, SLEEP, Scene, frame, stdlib

from concview.model import Child, Children, Confidence, Link, Links, Owner, Peer, Severity, User, Wait, WaitKind

PIPE = Peer("pipe", "pipe:[77]")
WAITS = Wait(WaitKind.CHILD, "wait4")
STACK = [stdlib("Popen.wait", "subprocess.py"), frame("deploy", 12, text="process.wait()")]


def child(**changes: object) -> Child:
    known: dict[str, object] = {"syscall": "write", "fd": 1, "peer": "pipe:[77]", "back": True, "cpu_s": 0.1}
    return Child(500, "make", "S", (101,), **{**known, **changes})  # type: ignore[arg-type]


def scene_of(one: Child) -> tuple[Scene, int]:
    scene = Scene()
    tid = scene.thread("deploy")
    scene.do(tid, STACK, WAITS)
    scene.history.apply(Children(scene.now_ns, (one,)))
    return scene, tid


def test_neither_moves() -> None:
    scene, tid = scene_of(child())
    scene.play(4)
    assert scene.ever() == set()
    scene.play(5)
    finding = scene.found("child-pipe-deadlock")
    assert finding is not None
    assert (finding.score, finding.severity, finding.confidence) == (95, Severity.WARN, Confidence.EXACT)
    assert finding.threads == (tid,) and finding.where[0].line == 12
    assert "process 500 (make) to end" in finding.summary and "pipe:[77]" in finding.summary


def test_a_child_that_computes_or_reads_is_none() -> None:
    for one in (child(back=False), child(syscall="read"), child(syscall="futex", back=False, peer="")):
        scene, _ = scene_of(one)
        scene.play(9)
        assert scene.ever() == set()


def test_a_child_that_gets_on_slowly_is_none() -> None:
    scene, _ = scene_of(child())
    spent = 0.1

    def script(at: float) -> None:
        nonlocal spent
        if at - (spent - 0.1) * 100 >= 2:  # now and then somebody takes something out
            spent += 0.02
            scene.history.apply(Children(scene.now_ns, (child(cpu_s=spent),)))

    scene.play(12, script)
    assert scene.ever() == set()


def test_a_thread_that_reads_what_it_writes_lets_it_go_on() -> None:
    scene, _ = scene_of(child())
    reader = scene.thread("reader")
    scene.do(reader, [frame("read", 30)], Wait(WaitKind.IO, "read", 9, PIPE))
    scene.play(9)
    assert "child-pipe-deadlock" not in scene.ever()


def test_where_somebody_may_read_later_it_is_an_information() -> None:
    scene, _ = scene_of(child())
    busy = scene.thread("busy")
    scene.do(busy, [frame("compute", 40)], RUNNING)
    scene.play(9)
    finding = scene.found("child-pipe-deadlock")
    assert finding is not None
    assert (finding.severity, finding.confidence) == (Severity.INFO, Confidence.INFERRED)


def writer(scene: Scene, *owners: Owner, users: tuple[User, ...] = ()) -> int:
    tid = scene.thread("QueueFeederThread")
    scene.do(tid, [frame("feed", 20)], Wait(WaitKind.IO, "write", 8, PIPE))
    scene.history.apply(Links(scene.now_ns, (Link(8, "pipe", (tid,), 77, False, users=users, owners=owners),)))
    return tid


def test_seen_from_the_child() -> None:
    scene = Scene()
    tid = writer(scene, Owner(1, "parent"))
    scene.play(9)
    finding = scene.found("child-pipe-deadlock")
    assert finding is not None
    assert (finding.severity, finding.threads) == (Severity.INFO, (tid,))
    assert "whose other end process 1 (parent) has, without reading it" in finding.summary


def test_a_reader_at_the_other_end_is_back_pressure() -> None:
    scene = Scene()
    writer(scene, Owner(1, "parent", "read"))
    scene.play(9)
    assert scene.ever() == set()
    scene = Scene()
    idle = scene.thread("loop")
    scene.do(idle, [frame("run", 3)], SELECT)
    writer(scene, Owner(1, "parent"), users=(User(idle, "self"),))
    scene.play(9)
    assert scene.ever() == set()


def test_no_pipe_at_all() -> None:
    scene = Scene()
    tid = scene.thread("main")
    scene.do(tid, [frame("main", 3)], SLEEP)
    scene.play(8)
    assert scene.ever() == set()
