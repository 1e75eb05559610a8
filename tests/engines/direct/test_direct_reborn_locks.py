"""A lock that is gone must not be taken for the one that has got its semaphore's memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from concview.cpython.features import Features
from concview.engines.direct.locks.wait_targets import WaitTargets

LOCK, SEMAPHORE = 0x7F5967464000, 0x5581AA00


class Memory:
    """A lock's memory: its count of references as given, the rest as ever."""

    def __init__(self, references: int) -> None:
        self.references = references

    def word(self, address: int) -> int:
        assert address == LOCK
        return self.references


def waited_for(references: int, version: tuple[int, int]) -> Any:
    """What a thread waits for whose frames know no lock, at a semaphore that was that lock's."""
    targets: Any = WaitTargets.__new__(WaitTargets)
    targets._memory = Memory(references)
    targets._o = SimpleNamespace(version=version, features=Features(version))
    targets._by_semaphore = {SEMAPHORE: LOCK}
    targets._reader = SimpleNamespace(
        kinds=lambda locks: {lock: SimpleNamespace(name="_thread.lock") for lock in locks},
        semaphore=lambda lock, kind: SEMAPHORE,  # freed memory reads as it did
    )
    thread = SimpleNamespace(walk=SimpleNamespace(places=[], addresses=[]))
    return targets._search(thread, SEMAPHORE), targets._by_semaphore


@pytest.mark.parametrize("version", [(3, 8), (3, 12)])
@pytest.mark.parametrize("references", [0, 0x7F59674A3710])
def test_a_freed_lock_is_not_waited_for(references: int, version: tuple[int, int]) -> None:
    """pymalloc writes the address of the next free block, or 0, over the count."""
    assert waited_for(references, version) == (None, {})


@pytest.mark.parametrize("references", [1, 7, 2**32 - 1])
def test_a_lock_that_lives_is(references: int) -> None:
    found, _ = waited_for(references, (3, 12))
    assert found == (LOCK, "Lock", "")
