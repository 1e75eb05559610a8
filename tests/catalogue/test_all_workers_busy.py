"""all-workers-busy: every worker stands in one wait, and what comes next finds nobody."""

from __future__ import annotations

from build import SLEEP, Scene, frame, recv, stdlib, waits_for

from concview.model import Confidence, Depths, Link, Links, Peer, PoolDepth, QueueDepth, Severity, Wait, WaitKind

CLIENT = Peer("tcp", "127.0.0.1:40001", "127.0.0.1:8080", "ESTABLISHED", accepted=True)
LISTENS = Wait(WaitKind.IO, "accept4", 3, Peer("tcp", "127.0.0.1:8080", status="LISTEN"))
SERVE = frame("serve", 30)


def workers(scene: Scene, count: int = 4) -> list[int]:
    tids = [scene.thread(f"worker-{n}") for n in range(count)]
    for n, tid in enumerate(tids):
        scene.do(tid, [SERVE], recv(7 + n, CLIENT))
    return tids


def backlog(scene: Scene, tids: list[int], count: int) -> None:
    links = [Link(7 + n, "tcp", (tid,), 70 + n, True, role="server", backlog=count) for n, tid in enumerate(tids)]
    scene.history.apply(Links(scene.now_ns, tuple(links)))


def test_silent_clients_and_others_outside() -> None:
    scene = Scene()
    tids = workers(scene)
    backlog(scene, tids, 2)
    scene.play(4)
    assert scene.ever() == set()
    scene.play(5)
    finding = scene.found("all-workers-busy")
    assert finding is not None
    assert (finding.severity, finding.score, finding.confidence) == (Severity.WARN, 90, Confidence.EXACT)
    assert set(finding.threads) == set(tids)
    assert "(4 of 4)" in finding.summary and "2 connections that nobody has accepted" in finding.summary


def test_with_nobody_outside_it_is_an_information() -> None:
    scene = Scene()
    backlog(scene, workers(scene), 0)
    scene.play(9)
    finding = scene.found("all-workers-busy")
    assert finding is not None
    assert finding.severity is Severity.INFO and "the next client will find nobody" in finding.summary


def test_a_thread_for_each_client_is_no_pool() -> None:
    scene = Scene()
    backlog(scene, workers(scene), 0)
    scene.do(scene.thread("acceptor"), [frame("main", 9)], LISTENS)
    scene.play(9)
    assert scene.ever() == set()


def test_one_that_is_free_or_moves_is_enough() -> None:
    for other in (LISTENS, SLEEP):
        scene = Scene()
        tids = workers(scene)
        backlog(scene, tids, 2)
        scene.do(tids[0], [SERVE], other)
        scene.play(9)
        assert "all-workers-busy" not in scene.ever()

    scene = Scene()
    tids = workers(scene)
    backlog(scene, tids, 2)

    def script(at: float) -> None:
        scene.do(tids[0], [SERVE], recv(7, CLIENT) if at % 3 < 2.5 else SLEEP)

    scene.play(12, script)
    assert "all-workers-busy" not in scene.ever()


POOL = [stdlib("_WorkItem.run", "concurrent/futures/thread.py"), stdlib("_worker", "concurrent/futures/thread.py")]


def depths(scene: Scene, tids: list[int], size: int) -> None:
    queue = QueueDepth(0xE0, "SimpleQueue", "", size, 0, -1, -1, -1)
    scene.history.apply(Depths(scene.now_ns, (queue,), (PoolDepth(0xE0, "jobs", 3, 3, tuple(tids)),)))


def pool(size: int, *, idle: bool = False) -> Scene:
    scene = Scene()
    tids = [scene.thread(f"jobs_{n}") for n in range(3)]
    for n, tid in enumerate(tids):
        if idle and not n:
            scene.do(tid, POOL[1:], waits_for(0xE0, via="SimpleQueue.get", kind="SimpleQueue"))
        else:
            scene.do(
                tid, [stdlib("Event.wait", "threading.py"), frame("task", 5), *POOL], waits_for(0xF0, via="Event.wait")
            )

    def script(at: float) -> None:
        if round(at * 100) % 25 == 0:
            depths(scene, tids, size)

    scene.play(9, script)
    return scene


def test_workers_of_a_pool_that_stand_still_while_tasks_queue() -> None:
    finding = pool(7).found("all-workers-busy")
    assert finding is not None
    assert finding.severity is Severity.WARN
    assert "(3 of 3) of pool jobs" in finding.summary and "7 tasks in the queue" in finding.summary
    assert finding.where[0].line == 5


def test_nothing_queues_or_somebody_is_free() -> None:
    assert "all-workers-busy" not in pool(0).ever()
    assert "all-workers-busy" not in pool(7, idle=True).ever()


def test_the_only_thread_of_a_server() -> None:
    """All of it in the standard library, and one is enough where others stand outside."""
    for outside in (0, 2):
        scene = Scene()
        tid = scene.thread("server")
        scene.do(
            tid, [stdlib("SocketIO.readinto", "socket.py"), stdlib("serve_forever", "socketserver.py")], recv(7, CLIENT)
        )
        backlog(scene, [tid], outside)
        scene.play(9)
        assert (scene.found("all-workers-busy") is not None) == (outside > 0)
