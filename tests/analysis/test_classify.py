"""From the kernel's word and the stack to a state."""

import pytest

from concview.analysis.classify import classify
from concview.model import Frame, Peer, Site, Stack, State, Wait, WaitKind

LIB = "/usr/lib/python3.12/"
SITE = Site("LOCK", "app.py", 7, "work", "app.py")


def std(function: str, file: str) -> Frame:
    return Frame(function, LIB + file, 1, "", "stdlib")


USER = Frame("work", "app.py", 8, "x = 1")
TAKING = Frame("work", "app.py", 7, "with LOCK:", "user", (), SITE)
FUTEX = Wait(WaitKind.FUTEX, "futex")

CASES = [
    ("running", Wait(WaitKind.RUNNING), [USER], State.RUNNING, ""),
    ("gil", Wait(WaitKind.GIL), [TAKING], State.GIL, ""),
    ("lock by source", FUTEX, [TAKING], State.LOCK, ""),
    ("lock by address", Wait(WaitKind.FUTEX, "futex", lock=4096, lock_kind="Lock"), [USER], State.LOCK, ""),
    ("pool worker", FUTEX, [std("_worker", "concurrent/futures/thread.py"), std("Thread.run", "threading.py")],
     State.IDLE, "work"),
    ("queue get", FUTEX, [std("Condition.wait", "threading.py"), std("Queue.get", "queue.py"), USER], State.IDLE,
     "Queue.get"),
    ("queue put", FUTEX, [std("Condition.wait", "threading.py"), std("Queue.put", "queue.py"), USER], State.LOCK,
     "Queue.put"),
    ("event", FUTEX, [std("Condition.wait", "threading.py"), std("Event.wait", "threading.py"), USER], State.IDLE,
     "Event.wait"),
    ("event, bare names", FUTEX, [std("wait", "threading.py"), std("wait", "threading.py"), USER], State.IDLE,
     "Event.wait"),
    ("condition, bare names", FUTEX, [std("wait", "threading.py"), USER], State.IDLE, "Condition.wait"),
    ("join", FUTEX, [std("Thread._wait_for_tstate_lock", "threading.py"), std("Thread.join", "threading.py"), USER],
     State.IDLE, "Thread.join"),
    ("semaphore", FUTEX, [std("Condition.wait", "threading.py"), std("Semaphore.acquire", "threading.py"), USER],
     State.LOCK, "Semaphore.acquire"),
    ("barrier", FUTEX, [std("Condition.wait", "threading.py"), std("Condition.wait_for", "threading.py"),
                        std("Barrier._wait", "threading.py"), std("Barrier.wait", "threading.py"), USER],
     State.LOCK, "Barrier.wait"),
    ("future", FUTEX, [std("Condition.wait", "threading.py"), std("Future.result", "concurrent/futures/_base.py"),
                       USER], State.IDLE, "Future.result"),
    ("condition entering", FUTEX, [std("Condition.__enter__", "threading.py"), TAKING], State.LOCK, ""),
    ("sleep", Wait(WaitKind.SLEEP, "clock_nanosleep"), [USER], State.SLEEP, ""),
    ("recv", Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:80")), [USER], State.IO, ""),
    ("accept", Wait(WaitKind.IO, "accept4", 5), [USER], State.IDLE, "accept"),
    ("loop idle", Wait(WaitKind.IO, "epoll_wait", 5),
     [std("EpollSelector.select", "selectors.py"), std("BaseEventLoop._run_once", "asyncio/base_events.py")],
     State.IDLE, "select"),
    ("user select", Wait(WaitKind.IO, "select", 5), [USER], State.IO, ""),
    ("disk", Wait(WaitKind.DISK, "fsync"), [USER], State.IO, ""),
    ("child", Wait(WaitKind.CHILD, "wait4"), [USER], State.IO, "child"),
    ("unreadable", Wait(WaitKind.UNKNOWN), [USER], State.UNKNOWN, ""),
    ("native pool", FUTEX, [], State.IDLE, "native"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wait", "frames", "state", "via"), CASES, ids=[c[0] for c in CASES])
def test_state(name: str, wait: Wait, frames: list[Frame], state: State, via: str) -> None:
    found = classify(wait, Stack(tuple(frames)))
    assert found.state is state
    assert found.via == via
    assert found.reason


def test_the_lock_is_named_by_its_expression() -> None:
    assert "LOCK" in classify(FUTEX, Stack((TAKING,))).reason


def test_io_names_the_peer() -> None:
    wait = Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "10.0.0.1:80"))
    assert classify(wait, Stack((USER,))).reason == "recvfrom tcp 10.0.0.1:80"
    wait = Wait(WaitKind.IO, "poll", 5, Peer("socket", "socket:[51677]"))
    assert classify(wait, Stack((USER,))).reason == "poll socket:[51677]"
