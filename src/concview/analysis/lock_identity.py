"""Which sites in the source and which addresses in memory are one lock.

A lock is known by the address of its object where memory could be read, else by the site in the source (scope and
expression). Where a site leads to exactly one address in the window, both are one lock; an address taken at several
places is one lock with several places.

Memory is used again: an address may belong to one lock and later to another. Two kinds at one address are two locks,
and so are a local variable's lock and what was there before or after it under other names (see `lives_of`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from concview.model import Site

#: From, to, where it is taken, the address, the kind: one stretch in which a thread had to do with a lock.
_Named = tuple[int, int, Site, int, str]


class Registry:
    """Which sites and addresses are one lock, learnt from everything seen in the window."""

    def __init__(self) -> None:
        self._addresses: dict[str, set[int]] = defaultdict(set)

    def learn(self, site: Site | None, address: int) -> None:
        if site is not None and address and site.expression:
            self._addresses[site.key].add(address)

    def key(self, site: Site | None, address: int) -> tuple[str, int]:
        """(key, address or 0). An empty key: nothing is known."""
        if not address and site is not None:
            known = self._addresses.get(site.key, set())
            if len(known) == 1:
                address = next(iter(known))
        if address:
            return f"{address:#x}", address
        return (site.key, 0) if site is not None and site.expression else ("", 0)


def of_several_names(seen: Iterable[tuple[int, Site | None, str]]) -> set[int]:
    """Of (address, where it is taken, kind): the addresses that may have belonged to several locks."""
    names: dict[int, set[str]] = defaultdict(set)
    families: dict[int, set[str]] = defaultdict(set)
    for address, site, kind in seen:
        if address and site is not None and site.expression:
            names[address].add(site.key)
            families[address].add(_family(kind))
    return {address for address, keys in names.items() if len(keys) > 1 or len(families[address] - {""}) > 1}


def lives_of(seen: Iterable[_Named]) -> dict[int, Callable[[int, str], str]]:
    """For addresses that belonged to several locks: (when, kind) -> what tells that lock's key from the others'.

    The latest lock keeps the plain key. Names that take turns are one lock: the same object under two names. Only
    where one set of names ends before another begins, and one of the two is a local variable, which dies with its
    function, they are two.
    """
    at: dict[int, list[tuple[int, int, str, str, bool]]] = defaultdict(list)
    for start, end, site, address, kind in seen:
        at[address].append((start, end, _family(kind), site.key, _is_local(site)))
    found: dict[int, Callable[[int, str], str]] = {}
    for address, rows in at.items():
        families = sorted({r[2] for r in rows if r[2]})
        ends = {family: _turns([r for r in rows if r[2] in ("", family)]) for family in families or [""]}
        if len(families) > 1 or any(ends.values()):
            latest = max(rows)[2] or (families[-1] if families else "")
            found[address] = partial(_life, latest, ends)
    return found


def _life(latest: str, ends: dict[str, list[int]], when: int, kind: str) -> str:
    family = _family(kind) or latest
    later = sum(end > when for end in ends.get(family, ()))
    return ("" if family == latest else f"/{family}") + (f"/{later} earlier" if later else "")


def _turns(rows: list[tuple[int, int, str, str, bool]]) -> list[int]:
    """When one lock's names were seen for the last time and those of the next one begin."""
    spans: dict[str, list[int]] = {}
    local: dict[str, bool] = {}
    for start, end, _, key, is_local in rows:
        span = spans.setdefault(key, [start, end])
        span[0], span[1] = min(span[0], start), max(span[1], end)
        local[key] = is_local
    out: list[int] = []
    end, locals_only = 0, True
    for key, (start, last) in sorted(spans.items(), key=lambda item: item[1]):
        if end and start >= end and (local[key] or locals_only):
            out.append(start)
            locals_only = True
        end = max(end, last)
        locals_only = locals_only and local[key]
    return out


def _family(kind: str) -> str:
    """Kinds that cannot be one object's have different families; a Condition is the lock it is made of."""
    return "" if kind == "Condition" else kind.removeprefix("Bounded")


def _is_local(site: Site) -> bool:
    """A plain name in a function: gone when that returns, if nobody else has it."""
    return "::" in site.scope and "." not in site.expression
