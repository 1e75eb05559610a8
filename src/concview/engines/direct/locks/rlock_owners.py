"""RLockOwners that lock objects know themselves: an RLock names its holder, however it was taken.

Only RLocks that somebody waits for are asked: of the others nobody told us the address. One read a tick while there
are any.
"""

from __future__ import annotations

from collections.abc import Callable

from concview.cpython.locks import RLOCK, LockReader
from concview.cpython.objects import Type
from concview.model import Confidence, Hold, Site

#: Locks asked in one tick.
_MOST = 64
_MOST_KNOWN = 1000
_ANYWHERE = Site("", "", 0, "")


class RLockOwners:
    def __init__(self, reader: LockReader) -> None:
        self._reader = reader
        self._waited: dict[int, int] = {}  #: tid -> RLock it was seen to wait for
        self._known: dict[int, Hold] = {}

    @property
    def any(self) -> bool:
        """Whether somebody was seen to wait for an RLock."""
        return bool(self._waited)

    def waits(self, tid: int, lock: int) -> None:
        """A thread waits for an RLock; 0: for none (any more)."""
        if lock:
            self._waited[tid] = lock
        else:
            self._waited.pop(tid, None)

    def waited(self, waits: Callable[[int], bool]) -> list[int]:
        """RLocks that others wait for. `waits`: whether a thread still does."""
        for tid in [tid for tid in self._waited if not waits(tid)]:
            del self._waited[tid]
        return list(dict.fromkeys(self._waited.values()))[:_MOST]

    def of(self, locks: list[int], states: dict[int, tuple[Type, bytes]]) -> dict[int, tuple[Hold, ...]]:
        """Ident of a thread -> those of these locks that it owns."""
        found: dict[int, tuple[Hold, ...]] = {}
        for address in locks:
            known = states.get(address)
            if known is None or known[0].name != RLOCK:
                continue  # freed meanwhile
            state = self._reader.state(*known)
            if state.locked and state.owner:
                hold = self._known.get(address)
                if hold is None:
                    if len(self._known) >= _MOST_KNOWN:
                        self._known.clear()
                    hold = self._known[address] = Hold(address, "RLock", _ANYWHERE, Confidence.EXACT)
                found[state.owner] = (*found.get(state.owner, ()), hold)
        return found
