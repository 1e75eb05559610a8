"""Whatever the stream holds, no rule raises and every rule is in exactly one state."""

from __future__ import annotations

import random

from build import Scene, frame, in_loop, site, stdlib
from hypothesis import given, settings
from hypothesis import strategies as st

from concview import registry
from concview.model import (
    Confidence,
    Depths,
    Frame,
    Hold,
    Peer,
    PoolDepth,
    ProcessStatus,
    QueueDepth,
    Site,
    Wait,
    WaitKind,
)

SITES = [site("a"), site("b", 20), site("", 0), Site("self._lock", "", 0, ""), site("c", 3, how="acquire")]
FRAMES = [
    frame("work", 3), frame("", 0, ""), frame("<lambda>", 5, "<string>"), frame("C.f", 7, holds=(SITES[0],)),
    frame("C.g", 8, acquires=SITES[1], text="with b:"), frame("d", 9, holds=(SITES[1], SITES[4]), acquires=SITES[0]),
    stdlib("Thread.start", "threading.py"), stdlib("start", "threading.py"), stdlib("Queue.get", "queue.py"),
    frame("p", 4, text="jobs.put(x)"), frame("g", 6, text="jobs.get()"), stdlib("Queue.put", "queue.py"),
    stdlib("_WorkItem.run", "concurrent/futures/thread.py"), stdlib("Future.result", "concurrent/futures/_base.py"),
    stdlib("_worker", "concurrent/futures/thread.py"), stdlib("EpollSelector.select", "selectors.py"),
    stdlib("BaseEventLoop._run_once", "asyncio/base_events.py"), stdlib("Handle._run", "asyncio/events.py"),
    stdlib("Runner.run", "asyncio/runners.py"), frame("native", 0, "/usr/lib/x.so", "native"),
]  # fmt: skip
PEERS = [None, Peer("tcp", "127.0.0.1:1"), Peer("file", ""), Peer("", "")]
KINDS = list(WaitKind)
SYSCALLS = ["", "futex", "read", "poll", "epoll_wait", "accept4", "clock_nanosleep", "made_up"]


def _stack(rng: random.Random) -> list[Frame]:
    frames = [rng.choice(FRAMES) for _ in range(rng.randrange(7))]
    return in_loop(*frames) if rng.random() < 0.3 else frames


def _wait(rng: random.Random) -> Wait:
    return Wait(
        rng.choice(KINDS),
        rng.choice(SYSCALLS),
        rng.choice([-1, 0, 7]),
        rng.choice(PEERS),
        rng.random() < 0.3,
        rng.choice([0, 0xA0, 0xB0]),
        rng.choice(["", "Lock", "RLock", "Semaphore"]),
        rng.choice(["", "", "Queue.put", "Condition.wait", "nonsense"]),
    )


def _holds(rng: random.Random) -> tuple[Hold, ...]:
    kinds, sure = ["", "Lock", "Semaphore"], list(Confidence)
    return tuple(
        Hold(rng.choice([0, 0xA0, 0xB0]), rng.choice(kinds), rng.choice(SITES), rng.choice(sure))
        for _ in range(rng.randrange(3))
    )


def _depths(rng: random.Random, now: int, tids: list[int]) -> Depths:
    """Queues as a hostile recording may have them."""
    numbers = [-1, 0, 1, 100, 5000, 1 << 62]
    queues = tuple(
        QueueDepth(
            rng.choice([0, 0xA0, 0xB0]),
            rng.choice(["Queue", "SimpleQueue", ""]),
            rng.choice(["", "jobs"]),
            rng.choice(numbers),
            rng.choice(numbers),
            rng.choice(numbers),
            rng.choice(numbers),
            rng.choice(numbers),
            tuple(tids[: rng.randrange(4)]),
        )
        for _ in range(rng.randrange(3))
    )
    pools = tuple(
        PoolDepth(q.address, "", rng.choice([-1, 0, 1, 2]), rng.choice([0, 2]), tuple(tids[:2])) for q in queues
    )
    return Depths(now, queues, pools[: rng.randrange(2)])


@settings(max_examples=15)  # a second or more each
@given(
    seed=st.integers(0, 2**32),
    hz=st.sampled_from([1, 7, 100]),
    cpus=st.sampled_from([0.0, 0.5, 1.0, 64.0]),
    without=st.lists(st.sampled_from(["gil", "locks", "held-locks", "counters", "waits"]), max_size=2),
    sticky=st.floats(0, 0.99),
    threads=st.integers(0, 12),
)
def test_random_streams(seed: int, hz: int, cpus: float, without: list[str], sticky: float, threads: int) -> None:
    rng = random.Random(seed)
    scene = Scene(hz=hz, cpus=cpus, without=without)
    tids = [scene.thread(f"t-{n}") for n in range(threads)]

    def script(at: float) -> None:
        for tid in list(tids):
            if rng.random() > sticky:
                scene.do(tid, _stack(rng), _wait(rng), _holds(rng))
            if rng.random() < 0.002:
                tids.remove(tid)
                scene.gone(tid)
        if rng.random() < 0.05:
            tids.append(scene.thread(f"new {at}", started_s=0.0))
        scene.collecting = rng.random() < 0.1
        if rng.random() < 0.01:
            scene.history.apply(ProcessStatus(scene.now_ns, rng.choice(["stopped", "running"])))
        if rng.random() < 0.01:
            scene.forget()
        if rng.random() < 0.1:
            scene.history.apply(_depths(rng, scene.now_ns, tids))

    scene.play(rng.choice([1, 4, 12]), script)
    every = {rule.id for rule in registry.everything("concview.catalogue.rules", "RULE").values()}
    for _, judgement in scene.log:
        failed = [n for n in judgement.not_applicable if "this rule failed" in n.why]
        assert not failed
        fires = {f.id for f in judgement.findings if not f.recent} | {r for r, _ in judgement.explained}
        others = [{p.id for p in judgement.pending}, set(judgement.clear), {n.id for n in judgement.not_applicable}]
        assert fires | set().union(*others) == every
        assert not set(judgement.clear) & (fires | others[0] | others[2])
        for finding in judgement.findings:
            assert 0 <= finding.score <= 100
            assert finding.title and finding.summary and finding.fix and finding.why
