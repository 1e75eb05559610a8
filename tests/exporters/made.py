"""Recordings that nobody made: written event by event, with names that no reader likes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from concview import codec
from concview.model import (
    Bye,
    Capability,
    Confidence,
    Event,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Notice,
    Peer,
    Site,
    StackDef,
    Stats,
    Target,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)

MS = 1_000_000
HOSTILE = (
    "q\"uote's", "new\nline", "se;mi", "  spaces  ", "<b>mark&up</b>", "L" * 10_000, "naïve_日本_🙂", "back\\slash",
    "tab\there", "%s {x} $HOME", "ctl\x1besc", "", "trailing 123", "cr\rx", "</script><img src=x>", "a,b=c:d",
)  # fmt: skip
LOCK = Site("self._lock", "/srv/app/cache.py", 41, "Cache.get", "cache.py::Cache")


def hello(command: tuple[str, ...] = ("/usr/bin/python3", "service.py"), *more: str) -> Hello:
    """`more`: what can be seen besides stacks, the GIL and who holds locks."""
    capable = {name: Capability(True) for name in ("held-locks", "stacks", "gil", *more)}
    target = Target(4242, "3.13.0", command, 1_700_000_000.0)
    return Hello(codec.STREAM_VERSION, "0", target, "direct", 100, 5, 1_000 * MS, 1_700_000_100.0, capable)


def definitions() -> list[Event]:
    """Stacks 1..20 of frames with hostile names; waits 1..6; holds 1: the lock. Threads 1..4, 4 is native."""
    out: list[Event] = [FrameDef(i + 1, Frame(n, f"/srv/app/m{i}.py", 3 * i + 1)) for i, n in enumerate(HOSTILE)]
    out += [FrameDef(17 + i, Frame(f"Class.function_{i}", f"/srv/app/n{i}.py", i + 1)) for i in range(16)]
    out += [StackDef(i + 1, (i % 16 + 1, (5 * i) % 32 + 1, 17)) for i in range(20)]
    out += [
        WaitDef(1, Wait(WaitKind.RUNNING)),
        WaitDef(2, Wait(WaitKind.GIL)),
        WaitDef(3, Wait(WaitKind.FUTEX, lock=0xA, lock_kind="Lock")),
        WaitDef(4, Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "127.0.0.1:5432", known_as="postgresql"))),
        WaitDef(5, Wait(WaitKind.SLEEP)),
        WaitDef(6, Wait(WaitKind.FUTEX, via="Thread.join", target=1)),
        HoldsDef(1, (Hold(0xA, "Lock", LOCK, Confidence.EXACT),)),
        ThreadDef(1, "MainThread"),
        ThreadDef(2, 'work"er;1 <i>\n</script>'),
        ThreadDef(3, "  пул-2  "),
        ThreadDef(4, "native", native=True),
    ]
    return out


def ticks(number: int = 60, seed: int = 1) -> list[Event]:
    """Random conditions every 10 ms; thread 1 holds the lock whenever thread 2 or 3 waits for it."""
    chance = random.Random(seed)
    out: list[Event] = []
    for i in range(number):
        rows: list[int] = []
        for tid in (2, 3):
            rows += (tid, chance.randint(1, 20), chance.choice((1, 2, 3, 3, 4, 5, 6)), 0)
        rows += (1, chance.randint(1, 20), chance.choice((1, 4, 5)), 1)
        if not i:
            rows += (4, 0, 5, 0)
        out.append(Tick((1_010 + 10 * i) * MS, 10 * MS, chance.choice((0, 1, 2, 3)), False, tuple(rows)))
    return out


def write(path: Path, events: Iterable[Event] | None = None, whole: bool = True, greeting: Hello | None = None) -> Path:
    """`whole`: with its last block."""
    given = [*definitions(), *ticks()] if events is None else list(events)
    last = max((e.at_ns for e in given if isinstance(e, Tick)), default=1_000 * MS)
    end: list[Event] = [
        Stats(last, 60, 3, 0, 0, 0, 100, 100, 1),
        Notice(last, "warn", "<i>careful</i>"),
        Bye(last, "stopped"),
    ]
    blocks = codec.encode_block([greeting or hello(), *given]) + (codec.encode_block(end) if whole else b"CBLK")
    path.write_bytes(codec.MAGIC + blocks)
    return path
