"""A service in tasks: a lock held across a request, a batch, a pool, sleepers; deterministic."""

from __future__ import annotations

import fake
import msgspec

from concview.model import Confidence, Frame, Hold, Peer, Site, Stack, TaskState, TaskWait
from concview.snapshot import AioView, LoopView, SharedView, Snapshot, TaskGroupView, TaskView

LOOP, LOCK = 0x7F1000, 0x7F2000
FILE = "/srv/shop/tokens.py"
_GET = (
    Frame("StreamReader.readline", "/usr/lib/python3.13/asyncio/streams.py", 562, "", "stdlib"),
    Frame("Tokens.fetch", FILE, 31, "return await reader.readline()"),
    Frame("Tokens.get", FILE, 22, "self._token = await self.fetch()"),
    Frame("handle", "/srv/shop/api.py", 48, "token = await tokens.get()"),
)
_WAIT = (
    Frame("Lock.acquire", "/usr/lib/python3.13/asyncio/locks.py", 113, "", "stdlib"),
    Frame("Tokens.get", FILE, 21, "async with self._lock:"),
    Frame("handle", "/srv/shop/api.py", 48, "token = await tokens.get()"),
)
_SERVE = (Frame("main", "/srv/shop/api.py", 90, "await asyncio.gather(*workers)"),)
_DOZE = (Frame("heartbeat", "/srv/shop/beat.py", 12, "await asyncio.sleep(1)"),)
_HELD = Hold(LOCK, "Lock", Site("self._lock", FILE, 21, "Tokens.get"), Confidence.EXACT)
_PEER = Peer("tcp", "10.0.0.7:443")


def _shares(**states: float) -> tuple[float, ...]:
    return tuple(states.get(s.name.lower(), 0.0) for s in TaskState)


def _task(
    id_: int, name: str, function: str, state: TaskState, reason: str, frames: tuple[Frame, ...], **more: object
) -> TaskView:
    values: dict[str, object] = {
        "id": id_, "name": name, "kind": "task", "function": function, "file": frames[-1].file, "line": 40,
        "loop": LOOP, "age_s": 64.0, "state": state, "since_s": 1.25, "since_open": False, "reason": reason,
        "shares": _shares(**{state.name.lower(): 0.9, "ready": 0.1}), "stack": Stack(frames),
        "wait": TaskWait(state), **more,
    }  # fmt: skip
    return TaskView(**values)  # type: ignore[arg-type]


def aio() -> AioView:
    holder = _task(
        1,
        "handle-1",
        "handle",
        TaskState.IO,
        "StreamReader.read tcp 10.0.0.7:443 (tokens.py:31)",
        _GET,
        holds=(_HELD,),
        behind=6,
        wait=TaskWait(TaskState.IO, "StreamReader.read", peer=_PEER),
        since_s=0.28,
    )
    waiters = [
        _task(
            n,
            f"handle-{n}",
            "handle",
            TaskState.LOCK,
            "waits for self._lock (tokens.py:21), held by handle-1",
            _WAIT,
            wait=TaskWait(TaskState.LOCK, "Lock.acquire", LOCK, "Lock"),
            blocked_by=(1,),
            since_s=0.3 * n,
            because="self._lock (lock) (tokens.py:21) <- tcp 10.0.0.7:443 (tokens.py:31)",
        )
        for n in range(2, 8)
    ]
    main = _task(
        20,
        "Task-1",
        "main",
        TaskState.TASK,
        "waits for handle-* (7) (gather) (api.py:90)",
        _SERVE,
        awaits=tuple(range(1, 8)),
        awaited=7,
        since_open=True,
        since_s=64.0,
        wait=TaskWait(TaskState.TASK, "gather"),
    )
    beats = [
        _task(30 + n, f"beat-{n}", "heartbeat", TaskState.SLEEP, "sleeps (beat.py:12)", _DOZE, due_s=0.4)
        for n in range(40)
    ]

    def group(
        tasks: list[TaskView], mean: float, behind: int = 0, holds: tuple[str, ...] = (), object_: int = 0
    ) -> TaskGroupView:
        one = tasks[0]
        leaf = one.stack.user_leaf
        assert leaf is not None
        return TaskGroupView(
            one.function,
            one.file,
            one.line,
            one.state,
            one.wait.via,
            leaf.file,
            leaf.line,
            one.reason,
            len(tasks),
            mean,
            max(t.since_s for t in tasks),
            object_,
            tuple(t.id for t in tasks),
            holds,
            behind,
        )

    return AioView(
        alive=48,
        shares=_shares(sleep=0.78, lock=0.14, task=0.04, io=0.03, ready=0.01),
        seconds=10.0,
        loops=(
            LoopView(
                LOOP,
                "asyncio",
                4242,
                "MainThread",
                True,
                48,
                3,
                96.0,
                0.22,
                0.0012,
                0.041,
                0.2,
                0.003,
                "",
                "Task-1",
                0.1,
            ),
        ),
        groups=(
            group([holder], 1.0, 6, ("self._lock",)),
            group(waiters, 6.0, object_=LOCK),
            group([main], 1.0),
            group(beats, 39.6),
        ),
        tasks=(holder, *waiters, main, *beats),
        objects=(
            SharedView(
                LOCK, "Lock", "self._lock", "asyncio", 1, 1, "", 6, 6.0, 60.0, 1.0, (1,), True, FILE, 21, "Tokens.get"
            ),
            SharedView(
                0x7F3000,
                "Pool",
                "asyncpg Pool",
                "asyncpg",
                4,
                4,
                "4 of 4 in use",
                0,
                0.3,
                3.0,
                4.0,
                (),
                True,
                "/srv/shop/api.py",
                60,
                "rows",
            ),
        ),
        born_per_s=2.0,
        unseen=("greenlets of gevent are not read: their stacks lie in memory of greenlet's own",),
    )


def service() -> Snapshot:
    return msgspec.structs.replace(fake.healthy(), aio=aio())
