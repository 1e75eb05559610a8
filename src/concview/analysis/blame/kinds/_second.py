"""Those who wait for a second one out of a pool while they have one: see `analysis.second`."""

from __future__ import annotations

from concview.analysis.blame.nouns import End, Node, Root
from concview.analysis.blame.world import Waiter
from concview.analysis.second import has_one, package_of
from concview.text import plural


def seconds(waiter: Waiter) -> list[Node]:
    """Those that wait for the same and have one of it."""
    lock = waiter.wait.lock
    if not lock:
        return []
    return waiter.moment.once(
        ("second", lock), lambda: [t for t in waiter.moment.waiting.get(lock, ()) if _has_one(waiter.moment.waiter(t))]
    )


def each_has_one(waiter: Waiter, what: str, those: list[Node]) -> Root | None:
    """Where nobody else works with the library: then those that wait are all that could give one back."""
    package = package_of(waiter.look.stack)
    others = [t for t in waiter.moment.runs if t not in waiter.same and package and _uses(waiter, t, package)]
    if others:
        return None
    if len(those) == 1:
        return waiter.end(End.CYCLE, f"{what}: it has one itself and waits for a second one")
    return waiter.end(End.CYCLE, f"{what}: {plural(len(those), 'thread')} have one and wait for a second one")


def _has_one(waiter: Waiter) -> bool:
    stack, uses = waiter.look.stack, waiter.world.wakes.uses
    return bool(waiter.world.remembered(("has one", stack), lambda: has_one(stack, uses.file)))


def _uses(waiter: Waiter, tid: Node, package: str) -> bool:
    return any(f.file.startswith(package) for f in waiter.moment.look(tid).own)
