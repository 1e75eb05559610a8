"""Exact waits: how often and for how long each thread waited, ran and was pushed aside, by the kernel's own records."""

from __future__ import annotations

import msgspec

from concview.model.events import Event

#: Who woke a thread, where no thread did, and where it is not known.
INTERRUPT, NOBODY_KNOWN = 0, -(1 << 31)
#: So little on a CPU is too short to have done much.
BRIEF_NS = 50_000
#: Who ended a wait of this length made the thread do what it did next: shorter ones come in between, for the GIL.
AWAY_NS = 10_000_000
#: So many beginnings are told in an event.
MOST_BEGUN = 1_000
#: Lengths are counted in classes: four an octave, so that a class is at most 25 % wide. Below it is class 0.
_FIRST_NS = 1 << 10
_SHIFT = 2


def length_class(ns: int) -> int:
    """The class of a length."""
    if ns < _FIRST_NS:
        return 0
    bits = ns.bit_length()
    return ((bits - 11) << _SHIFT) + ((ns >> (bits - 3)) & 3) + 1


def class_middle_ns(number: int) -> float:
    """What a length of that class is taken to be."""
    if number <= 0:
        return _FIRST_NS / 2
    octave, quarter = divmod(number - 1, 4)
    return float((1 << (octave + 10)) * (1 + (quarter + 0.5) / 4))


class PlaceWaits(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Waits of one thread that a sample fell into: so it is known where they were."""

    stack: int  #: ids as in a Tick's row
    wait: int
    waits: int
    waited_ns: int
    longest_ns: int
    lengths: tuple[int, ...]  #: class, number, class, number ...
    # Where the kernel tells who woke it ("wakers"), as below:
    wakers: tuple[int, ...] = ()
    lates: tuple[int, ...] = ()
    #: How often another thread woke it, and it was back in this very wait after less than BRIEF_NS on a CPU. Of two
    #: waits that a sample fell into, one after the other.
    back: int = 0


class ThreadSwitches(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thread since the event before. A wait counts when it ends, with all its length."""

    tid: int
    runs: int  #: how often it came onto a CPU
    waits: int
    waited_ns: int
    longest_ns: int
    aside: int  #: how often it was pushed aside: had to leave the CPU though it wanted to go on
    aside_ns: int
    lengths: tuple[int, ...]  #: of all its waits: class, number, class, number ...
    #: Of those waits, the ones that were seen at a place. The others were too short for that.
    places: tuple[PlaceWaits, ...] = ()
    # Where the kernel tells who woke it ("wakers"):
    wakers: tuple[int, ...] = ()  #: who, how often, who, how often ...: the most often first; see `Switches`
    lates: tuple[int, ...] = ()  #: from being woken to being on a CPU: class of length, number, class, number ...
    late_ns: int = 0
    late_longest_ns: int = 0
    brief: int = 0  #: how often another thread woke it, and it waited again after less than BRIEF_NS on a CPU


class Switches(Event, frozen=True, tag=35):
    """Once a second where the kernel lets us: threads that were on a CPU meanwhile.

    Complete, unless `gaps`: then records were lost, and what reaches over the gap is left out.

    Who woke a thread: a thread of the process by its tid; INTERRUPT: a timer, or what came over the network;
    another process by its number, negative; NOBODY_KNOWN.
    """

    at_ns: int
    since_ns: int
    threads: tuple[ThreadSwitches, ...]
    records: int  #: how many the kernel wrote
    gaps: int = 0
    #: Why there will be no more for now; empty while they go on.
    ended: str = ""
    #: Waits for a peer that a sample fell into: when it began, tid, who had ended the last wait of AWAY_NS before it,
    #: and so on. Left out when there were more than MOST_BEGUN.
    begun: tuple[int, ...] = ()
