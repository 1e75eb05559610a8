"""A process of which the kernel counts what is told here: windows for the rules that judge by counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from build import START_NS, frame

from concview.analysis.history import History
from concview.analysis.window import Window
from concview.model import (
    CAPABILITIES,
    Capability,
    Counters,
    FrameDef,
    Hello,
    StackDef,
    Target,
    ThreadCounters,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)

RUNNING = Wait(WaitKind.RUNNING)


@dataclass(frozen=True)
class Rates:
    """Of one thread, per second."""

    cpu: float = 0.0  #: seconds
    delay: float = 0.0  #: seconds
    voluntary: float = 0.0
    involuntary: float = 0.0
    migrations: float = -1.0
    native: bool = False
    wait: Wait = RUNNING


def window(
    threads: Mapping[str, Rates],
    seconds: float = 10.0,
    cpus: float = 2.0,
    system: float = 0.0,
    throttled: float = 0.0,
    target: Target | None = None,
    rss: Sequence[int] = (1 << 20,),
    knows_delay: bool = True,
) -> Window:
    """`system`: share of the CPU time spent in the kernel. `rss`: one value a second, the last one stays."""
    history = History()
    whose = target or Target(42, "3.13.0", ("python", "app.py"), 0.0, cpus=cpus)
    able = {name: Capability(True) for name in CAPABILITIES}
    history.apply(Hello(1, "0", whose, "direct", 100.0, 5.0, START_NS, 0.0, able))
    history.apply(FrameDef(1, frame("work", 7, text="work()")))
    history.apply(StackDef(2, (1,)))
    waits = list(dict.fromkeys(one.wait for one in threads.values()))
    for n, wait in enumerate(waits):
        history.apply(WaitDef(3 + n, wait))
    names = {100 + n: name for n, name in enumerate(threads)}
    for tid, name in names.items():
        if not threads[name].native:
            history.apply(ThreadDef(tid, name))
    seen = [tid for tid, name in names.items() if not threads[name].native]
    step = 250_000_000
    for n in range(int(seconds * 4) + 1):
        at, t = START_NS + n * step, n / 4
        doing = [(tid, 2, 3 + waits.index(threads[names[tid]].wait), 0) for tid in seen]
        history.apply(Tick(at, step if n else 0, 0, False, tuple(v for row in doing for v in row)))
        rows = tuple(_counters(tid, threads[name], t, knows_delay) for tid, name in names.items())
        cpu = sum(r.cpu for r in threads.values()) * t
        history.apply(
            Counters(
                at,
                cpu * (1 - system),
                cpu * system,
                rss[min(int(t), len(rss) - 1)],
                10,
                len(rows),
                rows,
                throttled_s=throttled * t,
                voluntary=sum(r.voluntary for r in rows),
                involuntary=sum(r.involuntary for r in rows),
            )
        )
    return Window(history, int(seconds * 1e9))


def _counters(tid: int, rates: Rates, t: float, knows_delay: bool) -> ThreadCounters:
    migrations = int(rates.migrations * t) if rates.migrations >= 0 else -1
    delay = int(rates.delay * t * 1e9) if knows_delay else -1
    return ThreadCounters(
        tid, int(rates.cpu * t * 1e9), delay, int(rates.voluntary * t), int(rates.involuntary * t), migrations
    )
