"""What frames say of one thread's locks, and what remains of it when the locks themselves are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from concview.cpython.code import Place
from concview.cpython.locks import LockReader
from concview.cpython.objects import Type
from concview.cpython.read_cache import Reads, Seen
from concview.cpython.threads import Thread
from concview.cpython.walk import Walk
from concview.engines.direct.locks.context_managers import Found
from concview.model import Confidence, Hold, Site
from concview.text import clean

#: What a SiteFinder says of a `with` whose lock the source gives back before the block ends.
GIVEN_BACK = Site("", "", 0, "", how="given back")

#: (function, file, line inside the with, with's line, how many locks further in on that line) -> its site
SiteFinder = Callable[[str, str, int, int, int], Site | None]


#: (where a frame stands, its address, which of the blocks around that instruction)
Entry = tuple[Place, int, int]


class Candidates:
    """What one thread seems to hold, before the locks' own state is asked."""

    __slots__ = ("asked", "found", "holds", "ident", "released", "sure")

    def __init__(self, ident: int, released: set[int], found: list[tuple[Found, Site]]) -> None:
        self.ident = ident
        self.found = found  #: innermost first
        self.sure = all(f.sure for f, _ in found)
        self.asked = [f.managed for f, _ in found if f.managed and f.managed not in released]
        self.released = released  #: given up for the time of a Condition.wait
        self.holds: tuple[Hold, ...] | None = None  #: `judge` of a thread that runs, where no lock need be asked


class Look:
    """One thread being looked at. Lists run along `entries`."""

    __slots__ = (
        "conditions", "entries", "heads", "key", "locks", "managers", "methods", "moving", "parts", "reads", "released",
        "slots", "thread",
    )  # fmt: skip

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.entries: list[Entry] = []
        self.slots: list[tuple[int, ...]] = []
        self.conditions: list[int] = []  #: that its frames wait on
        self.heads: list[bytes | None] | None = None  #: the exit methods, where slots refer to them, if copied
        self.methods: list[tuple[Type, bytes] | None] | None = None  #: the same with their types
        self.managers: list[int] = []
        self.locks: list[list[Found]] = []
        self.released: set[int] | None = set()  #: locks of `conditions`; None: could not be told
        self.key: tuple[object, ...] | None = None  #: see `Known`; last the conditions
        self.reads: Reads | None = None  #: what the answer depends on besides the key; None: cannot be told
        self.parts: list[bytes | None] = []
        self.moving: list[tuple[int, int]] = []  #: see `Known`


class Known:
    """What a thread holds that stands in the same blocks with the same managers, while what it depends on reads as it
    did; None: it depends on nothing else. `moving`: (frame, address in it) of slots that must read as when the stack
    was copied, whatever that was: an exit method is made anew for each block that is entered."""

    __slots__ = ("candidates", "moving", "seen")

    def __init__(self, candidates: Candidates, seen: Seen | None, moving: list[tuple[int, int]]) -> None:
        self.candidates, self.seen, self.moving = candidates, seen, moving

    def now(self, walk: Walk) -> Seen | None:
        """What must read how; None where that cannot be told of this copy."""
        if self.seen is None or not self.moving:
            return self.seen
        words: list[bytes] = []
        for frame, address in self.moving:
            copied = walk.find(frame, address, 8)
            if copied is None:
                return None
            data, at = copied
            words.append(data[at : at + 8])
        return self.seen.and_words([address for _, address in self.moving], words)


class Verifier:
    """From a look at a thread to its candidates, and from these to what it holds."""

    def __init__(self, reader: LockReader, site: SiteFinder) -> None:
        self._reader, self._site = reader, site
        self._sites: dict[tuple[Place, int, int], Site] = {}
        self._holds: dict[tuple[int, str, int, bool], Hold] = {}

    def forget(self) -> None:
        self._holds.clear()
        self._sites.clear()

    def candidates(self, look: Look) -> Candidates | None:
        if look.released is None:
            return None
        found: list[tuple[Found, Site]] = []
        before: tuple[int, int] = (0, 0)
        nth = 0
        for (place, frame, index), locks in zip(look.entries, look.locks, strict=True):
            if locks:
                line = (frame, place.withs[index].line)
                nth = nth + 1 if line == before else 0  # `with a, b:` has two on one line
                before = line
                site = self._site_of(place, index, nth)
                if site is not GIVEN_BACK:
                    found += [(f, site) for f in locks]
        return Candidates(look.thread.ident, look.released, found)

    def states(self, candidates: Iterable[Candidates], more: Iterable[int] = ()) -> dict[int, tuple[Type, bytes]]:
        """The state, now, of all locks that these threads seem to hold, for `judge`; and of `more`."""
        return self._reader.heads([*(lock for each in candidates for lock in each.asked), *more])

    def judge(self, candidates: Candidates, states: dict[int, tuple[Type, bytes]] | None) -> tuple[Hold, ...]:
        """Locks held by `with` blocks, innermost first. `states`: of one that stands still, so that a lock's state,
        read a moment later, must agree; None for one that runs: it may already be another."""
        found = candidates.found
        sure, held = candidates.sure, self._reader.held
        if sure and candidates.holds is not None:
            if states is None:
                return candidates.holds
            for managed in candidates.asked:
                known = states.get(managed)
                if known is None or not held(*known, candidates.ident):
                    break
            else:
                return candidates.holds  # nothing to take away
        heads = states or (self.states([candidates]) if states is None and not sure else {})
        holds: list[Hold] = []
        seen: set[int] = set()
        for lock, site in reversed(found):  # outermost first: a nested RLock counts where it was taken first
            if (lock.managed and lock.managed in candidates.released) or lock.address in seen:
                continue
            if lock.managed and (states is not None or not lock.sure):
                known = heads.get(lock.managed)
                if known is None or not held(*known, candidates.ident):
                    continue
            seen.add(lock.address)
            holds.append(self._hold(lock, site))
        result = tuple(reversed(holds))
        if states is None and sure:
            candidates.holds = result
        return result

    def _hold(self, lock: Found, site: Site) -> Hold:
        """One object for one fact: the same holds again are recognised by identity."""
        key = (lock.address, lock.kind, id(site), lock.sure)
        known = self._holds.get(key)
        if known is None or known.site is not site:
            if len(self._holds) > 10_000:
                self._holds.clear()
            confidence = Confidence.EXACT if lock.sure else Confidence.INFERRED
            known = self._holds[key] = Hold(lock.address, lock.kind, site, confidence)
        return known

    # ------------------------------------------------------------------ where it was taken

    def _site_of(self, place: Place, index: int, nth: int) -> Site:
        known = self._sites.get((place, index, nth))
        if known is not None:
            return known
        code, line = place.code, place.withs[index].line
        site = self._site(code.qualname, code.file, place.line, line, nth)
        if site is None:
            site = Site("", clean(code.file, 1000), line, clean(code.qualname))
        if len(self._sites) > 10_000:
            self._sites.clear()
        self._sites[place, index, nth] = site
        return site
