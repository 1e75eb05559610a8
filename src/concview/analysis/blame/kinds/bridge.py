"""A call that has an event loop run something, and waits for it: blockingCallFromThread, fsspec's and dask's sync.

Such a call is for other threads than the loop's own. In the loop's thread it waits for what only that could run; and
where no thread runs a loop, nobody ever begins with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, NamedTuple

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import Places, among, places
from concview.model import Stack, State, WaitKind

#: A loop that has nothing else to do has begun with what it was given.
_BEGINS_NS = 100_000_000
_Rows = dict[str, tuple[Places, ...]]
#: Frames below which asyncio, or a loop in C that is one for asyncio, runs callbacks.
ASYNCIO = places(
    ("asyncio/base_events.py", "_run_once run_forever"),
    ("asyncio/runners.py", "run"),
    ("uvloop/__init__.py", "run"),
)


class Bridge(NamedTuple):
    calls: _Rows
    loops: _Rows
    name: str  #: of such a loop, in words
    tasks: _Rows = places()  #: frames in which the loop's tasks run such calls, where it does so in tasks


#: Source: Twisted 20 to 26, fsspec 2021 to 2026, distributed 2021 to 2026, trio 0.23 to 0.35.
BRIDGES = (
    Bridge(
        places(("twisted/internet/threads.py", "blockingCallFromThread blockingCallOnMainThread")),
        places(("twisted/internet/base.py", "mainLoop"), ("twisted/internet/asyncioreactor.py", "run")),
        "the reactor",
    ),
    Bridge(places(("fsspec/asyn.py", "sync"), ("distributed/utils.py", "sync")), ASYNCIO, "an event loop"),
    Bridge(
        places(("trio/_threads.py", "_send_message_to_trio")),
        places(("trio/_core/_run.py", "run unrolled_run")),
        "trio",
        places(("trio/_threads.py", "unprotected_afn unprotected_fn")),
    ),
)


@lru_cache(8192)
def bridge_of(stack: Stack) -> Bridge | None:
    return next((b for b in BRIDGES if any(among(f, b.calls) for f in stack.frames)), None)


@lru_cache(8192)
def runs(stack: Stack, loops: tuple[int, ...]) -> bool:
    """Whether it runs a loop of one of these bridges, by their number."""
    return any(among(f, BRIDGES[i].loops) for i in loops for f in stack.frames)


class BridgeCall:
    order: ClassVar[int] = 17
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.kind in (WaitKind.FUTEX, WaitKind.SLEEP) and bridge_of(look.stack) is not None

    def follow(self, waiter: Waiter) -> Root | Link | None:
        bridge = bridge_of(waiter.look.stack)
        if bridge is None:
            return None
        number = (BRIDGES.index(bridge),)
        loops = [t for t, r in waiter.moment.runs.items() if runs(r.stack, number)]
        others = [t for t in loops if t != waiter.tid]
        what = f"a call that {bridge.name} has to run"
        if not loops:
            nobody = waiter.end(End.NOBODY, f"no thread of this process runs {bridge.name}")
            return waiter.link(Via.RESULT, what, [], otherwise=nobody)
        if not others:
            return waiter.end(
                End.CYCLE, f"waits for what only {bridge.name} can run, and that runs in this very thread"
            )
        blocked = [t for t in others if waiter.moment.look(t).state is not State.IDLE]
        if len(blocked) == len(others):
            return waiter.link(Via.RESULT, what, blocked)
        if not bridge.tasks:
            # Begun, or about to be: what it waits for inside of the loop is no thread, and no task.
            young = waiter.moment.at_ns - (waiter.run.since_ns or waiter.run.start_ns) < _BEGINS_NS
            return None if young else waiter.end(End.PEER, f"what {bridge.name} waits for on its behalf")
        tasks = waiter.moment.tasks.runs.items()
        inside = [node for node, run in tasks if any(among(f, bridge.tasks) for f in run.stack.frames)]
        nobody = waiter.end(End.UNEXPLAINED, f"{what}: not seen in which task")
        return waiter.link(Via.RESULT, what, inside, otherwise=nobody)


KIND = BridgeCall()
