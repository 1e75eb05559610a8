"""write-write-read: both sides read while the kernel holds back a small write."""

from __future__ import annotations

from typing import Any

import pytest
from build import Scene, frame, recv

from concview.model import Confidence, Link, Links, Peer, Severity

REMOTE = Peer("tcp", "127.0.0.1:8080", "127.0.0.1:40000", "ESTABLISHED")


def told(scene: Scene, tid: int, **queues: int) -> None:
    known: dict[str, Any] = {"received": 0, "sent": 0, "peer_received": 0, "peer_sent": 0, **queues}
    link = Link(7, "tcp", (tid,), 70, True, remote="127.0.0.1:8080", role="client", **known)
    scene.history.apply(Links(scene.now_ns, (link,)))


def client(scene: Scene) -> int:
    tid = scene.thread("client")
    scene.do(tid, [frame("ask", 12)], recv(7, REMOTE))
    return tid


@pytest.mark.parametrize(("queues", "whose"), [
    ({"unsent": 4, "sent": 9}, "this process"), ({"peer_unsent": 5, "peer_sent": 120}, "the other side"),
])  # fmt: skip
def test_what_is_held_back_and_by_whom(queues: dict[str, int], whose: str) -> None:
    scene = Scene()
    tid = client(scene)
    scene.play(1)
    told(scene, tid, **queues)
    scene.play(9)
    finding = scene.found("write-write-read")
    assert finding is not None
    assert (finding.severity, finding.confidence, finding.threads) == (Severity.WARN, Confidence.EXACT, (tid,))
    assert f"bytes that {whose} has written are held back" in finding.summary
    assert finding.where[0].line == 12


@pytest.mark.parametrize("queues", [
    {"unsent": 0, "sent": 9},  # on its way, or the other side is at work on it
    {"unsent": 4, "sent": 9, "peer_received": 20},  # there is something to read: the other side is late
    {"unsent": 1 << 20, "sent": 1 << 21},  # it waits for room at the other side
    {},  # an old kernel, or nothing
])  # fmt: skip
def test_other_waits_for_an_answer(queues: dict[str, int]) -> None:
    scene = Scene()
    tid = client(scene)
    told(scene, tid, **queues)
    scene.play(10)
    assert "write-write-read" not in scene.ever()


def test_one_look_is_not_enough() -> None:
    scene = Scene()
    tid = client(scene)
    for at in range(10):
        told(scene, tid, unsent=4 if at == 3 else 0)
        scene.play(1)
    assert "write-write-read" not in scene.ever()


def test_nothing_was_told_yet() -> None:
    scene = Scene()
    client(scene)
    scene.play(2)
    assert not [n for n in scene.judgement.not_applicable if n.id == "write-write-read"]


def test_both_ends_in_one_process_are_told_once() -> None:
    scene = Scene()
    tid, server = client(scene), scene.thread("server")
    accepted = Peer("tcp", "127.0.0.1:40000", "127.0.0.1:8080", "ESTABLISHED", accepted=True)
    scene.do(server, [frame("serve", 30)], recv(8, accepted))
    known: dict[str, Any] = {"received": 0, "sent": 0, "peer_received": 0, "peer_sent": 0}
    near = Link(7, "tcp", (tid,), 70, True, (8,), 71, unsent=4, peer_unsent=0, **known)
    far = Link(8, "tcp", (server,), 71, True, (7,), 70, unsent=0, peer_unsent=4, **known)
    scene.history.apply(Links(scene.now_ns, (near, far)))
    scene.play(10)
    found = [f for f in scene.judgement.findings if f.id == "write-write-read"]
    assert [f.threads for f in found] == [(tid,)]
