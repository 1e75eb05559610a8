"""Two locks are taken in both orders: a deadlock that has not happened yet.

What it sees:
    A thread that holds lock A when it takes B, and another thread that holds B when it takes A.

Why it hurts:
    It works until the two threads do it at the same moment; then both wait for ever. Load makes that moment likely,
    tests do not.

How it is measured:
    From every sample in which a thread holds two locks, or holds one and waits for another, the order in which they
    were taken. It counts how often the rarer of the two orders was seen in the last ten seconds, by different
    threads, without another lock held around both. Thresholds 2 and 4 [H]: on the demo pair 16 a window (bad), 0
    (fixed).

Fix:
    Take the locks in one order everywhere, and write it down where they are made.

        first, second = sorted((a, b), key=id)
        with first, second: ...

    Or one lock for both, if they are always taken together.

When it is fine:
    A third lock is always held around both: then they cannot meet. Only orders seen without one are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from concview.analysis.lock_identity import Registry
from concview.analysis.locks import SHARED_KINDS, waited_lock
from concview.analysis.records import Run
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Hold, Site, Stack, State, Where
from concview.text import plural


@dataclass(slots=True)
class _Order:
    """One lock taken while another was held."""

    episodes: dict[int, int] = field(default_factory=lambda: defaultdict(int))  #: tid -> how often
    guards: frozenset[str] | None = None  #: locks held around both every time
    sites: tuple[Site | None, Site | None] = (None, None)
    stack: Stack | None = None
    exact: bool = True


class LockOrderInversion:
    id: ClassVar[str] = "lock-order-inversion"
    title: ClassVar[str] = "Two locks are taken in both orders"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(2.0, 4.0, "times", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "the rarer order was seen"
    task_twin: ClassVar[str] = "async-deadlock"

    def observe(self, window: Window) -> Iterable[Observation]:
        orders = _orders(window)
        for (first, second), one in orders.items():
            other = orders.get((second, first))
            if first < second and other is not None:
                yield from self._pair(window, f"{first} {second}", one, other)

    def _pair(self, window: Window, subject: str, one: _Order, other: _Order) -> Iterable[Observation]:
        guarded = (one.guards or frozenset()) & (other.guards or frozenset())
        if guarded or len({*one.episodes, *other.episodes}) < 2:
            return
        seen, seen_other = sum(one.episodes.values()), sum(other.episodes.values())
        names = [evidence.site_name(s) for s in one.sites]
        if names[0] == names[1]:  # two objects behind one expression: a.lock and b.lock of a transfer
            names[1] = f"{names[1]} of another object"
        a, b = max(one.episodes, key=one.episodes.__getitem__), max(other.episodes, key=other.episodes.__getitem__)
        exact = one.exact and other.exact
        rare = float(min(seen, seen_other))
        yield Observation(
            subject=subject,
            value=rare,
            lower=rare,
            samples=seen + seen_other,
            episodes=int(rare),
            confidence=Confidence.EXACT if exact else Confidence.INFERRED,
            label=f"{names[0]} and {names[1]}",
            title=f"{names[0]} and {names[1]} are taken in both orders",
            summary=(
                f"{window.name(a)} takes {names[1]} while it holds {names[0]} ({_spot(one)}), {window.name(b)} takes "
                f"{names[0]} while it holds {names[1]} ({_spot(other)}): seen {plural(seen, 'time')} and "
                f"{plural(seen_other, 'time')}. When they meet, both wait for ever."
                + ("" if exact else " The locks are inferred from the source, not read from memory.")
            ),
            fix=(
                "Take these locks in one order, everywhere.\n\n"
                f"    with {names[0]}:\n"
                f"        with {names[1].split()[0]}: ...     # in both places"
            ),
            gain="No deadlock.",
            check_next=f"Where else are {names[0]} and {names[1]} taken together?",
            where=_where(one, other),
            threads=tuple({*one.episodes, *other.episodes}),
            stacks=evidence.shown("one order", a, window.name(a), one.stack, f"{names[0]}, then {names[1]}")
            + evidence.shown("other order", b, window.name(b), other.stack, f"{names[1]}, then {names[0]}"),
        )


def _where(one: _Order, other: _Order) -> tuple[Where, ...]:
    """The lines that take the second lock, then what surrounds them."""
    taken = [Where(s.file, s.line, s.function) for s in (one.sites[1], other.sites[1]) if s is not None and s.file]
    return (*taken, *evidence.places(one.stack, other.stack))[:4]


def _spot(order: _Order) -> str:
    site = order.sites[1]
    if site is not None and site.file:
        return evidence.spot(site.file, site.line, site.function)
    return evidence.frame_spot(order.stack.user_leaf if order.stack is not None else None)


def _orders(window: Window) -> dict[tuple[str, str], _Order]:
    """(outer lock, inner lock) -> where and by whom. An episode is a run in which a thread was not so before."""
    exact = window.can("held-locks")
    registry = window.lock_registry
    found: dict[tuple[str, str], _Order] = defaultdict(_Order)
    for thread in window.threads:
        if not any(_two(s.run, exact) for s in thread.locking):
            continue  # never has to do with two locks at a time, so it takes them in no order
        for chain, run, fresh in _chains(thread, registry, exact):
            for i, outer in enumerate(chain):
                for inner in chain[i + 1 :]:
                    order = found[outer[0], inner[0]]
                    if fresh:
                        order.episodes[thread.tid] += 1
                    elif thread.tid not in order.episodes:
                        order.episodes[thread.tid] = 1
                    around = frozenset(key for key, _, _ in chain[:i])
                    order.guards = around if order.guards is None else order.guards & around
                    order.sites = (outer[1], inner[1])
                    order.stack = run.stack
                    order.exact = order.exact and outer[2] and inner[2]
    return found


def _two(run: Run, exact: bool) -> bool:
    """Whether it may hold two locks, or one while it waits for another."""
    if exact:
        return bool(run.holds) and (len(run.holds) > 1 or run.classification.state is State.LOCK)
    return run.stack.holding


_Link = tuple[str, Site | None, bool]


def _chains(thread: ThreadWindow, registry: Registry, exact: bool) -> Iterator[tuple[list[_Link], Run, bool]]:
    """The locks of a thread in the order in which it took them, the one it waits for last; and whether that is new."""
    last: list[str] = []
    for slice_ in thread.slices:
        run = slice_.run
        if not (run.holds if exact else run.stack.holding):
            last = []  # most, by far; who holds nothing and waits is at the first lock of a chain, which is none
            continue
        chain: list[_Link] = []
        # Outermost first. What was read from memory wins over what the source says.
        for hold in _outermost_first(run, exact):
            key, address = registry.key(hold.site, hold.lock)
            if key and hold.kind not in SHARED_KINDS and all(key != k for k, _, _ in chain):
                chain.append((key, hold.site, bool(address) and hold.confidence is Confidence.EXACT))
        site, address = waited_lock(run)
        key, _ = registry.key(site, address)
        if key and chain and run.wait.lock_kind not in SHARED_KINDS and all(key != k for k, _, _ in chain):
            chain.append((key, site, bool(address)))
        keys = [k for k, _, _ in chain]
        if len(chain) > 1:
            yield chain, run, keys != last and not (keys[: len(last)] == last and len(last) > 1)
        last = keys


def _outermost_first(run: Run, exact: bool) -> list[Hold]:
    """Holds are read from the leaf outwards; the source gives each frame's from the outside in."""
    if exact:
        return list(reversed(run.holds))
    return [Hold(0, "", s, Confidence.INFERRED) for f in reversed(run.stack.frames) for s in f.holds]


RULE = LockOrderInversion()
