"""Who computes and who waits for the GIL: what the rules about it share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from concview.analysis.window import GilWindow, ThreadWindow, Window
from concview.catalogue import evidence
from concview.model import StackEvidence, State
from concview.text import percent

#: A victim runs less than this, waits for the GIL at least so much of the time and blocks so often by itself.
MAX_RUNNING = 0.2
MIN_GIL = 0.1
MIN_PER_S = 3.0
#: While a program's threads are being started they wait for each other.
MIN_SECONDS = 2.0
#: Somebody must compute: a thread with this share of running and waiting for the GIL, and of running alone.
HOG = 0.5
HOG_RUNNING = 0.1
#: A thread that runs more than this part of what the busiest runs computes as well.
EQUALS = 0.4


def gils(window: Window) -> Iterable[GilWindow]:
    """Those that can be judged. Inapplicable where there is none."""
    evidence.require_gil(window)
    return window.gils if window.seconds >= MIN_SECONDS else ()


def blocks(thread: ThreadWindow) -> int:
    """How often it went to sleep in the kernel: at least once for every wait for the GIL."""
    return sum(b.voluntary for b in thread.buckets if b.voluntary > 0)


def parties(threads: Sequence[ThreadWindow]) -> tuple[list[ThreadWindow], list[ThreadWindow]]:
    """Threads that compute, and those that wait for the GIL because of them."""
    hogs = [t for t in threads if _is_hog(t)]
    most = max((t.share(State.RUNNING) for t in hogs), default=0.0)
    # Among equals nobody is the victim, however little of the CPU a busy machine leaves to each.
    victims = [t for t in threads if t not in hogs and t.share(State.RUNNING) < EQUALS * most and _is_victim(t)]
    return hogs, victims


def _is_hog(thread: ThreadWindow) -> bool:
    return thread.share(State.RUNNING, State.GIL) >= HOG and thread.share(State.RUNNING) >= HOG_RUNNING


def _is_victim(thread: ThreadWindow) -> bool:
    seconds = sum(thread.nanoseconds) / 1e9
    if seconds <= 0 or thread.share(State.RUNNING) >= MAX_RUNNING or thread.share(State.GIL) < MIN_GIL:
        return False
    return blocks(thread) >= MIN_PER_S * seconds


def shown(role: str, threads: Sequence[ThreadWindow], *states: State) -> tuple[StackEvidence, ...]:
    """Each with the stack in which it spent most time in these states, and its shares."""
    out: tuple[StackEvidence, ...] = ()
    for thread in threads:
        stack = evidence.heaviest_in(thread.wait_profiles, *states)
        note = f"runs {percent(thread.share(State.RUNNING))}, waits for the GIL {percent(thread.share(State.GIL))}"
        out += evidence.shown(role, thread.tid, thread.name, stack, note)
    return out
