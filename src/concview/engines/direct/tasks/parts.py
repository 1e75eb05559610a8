"""What lies in an object: in its attributes, in collections that are one, and in callbacks among these.

All are addresses. Bounded by counts, and where a look takes long by its clock; what cannot be read is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from concview.cpython.aio.values import BAD, Values

if TYPE_CHECKING:
    from concview.cpython.aio.waits import Waits

#: Attributes of an object; those of one that is a member or a part of another, and variables of a frame; members of a
#: collection; members that are looked into themselves; items of a tuple among them.
_ATTRIBUTES, FEW, _MEMBERS, _INSIDE, _ITEMS = 96, 24, 512, 64, 8
_COLLECTIONS = (
    "list",
    "tuple",
    "collections.deque",
    "set",
    "dict",
    "collections.OrderedDict",
    "collections.defaultdict",
)
_CALLABLE = frozenset({"function", "functools.partial"})


class Parts:
    def __init__(self, values: Values, waits: Waits, late: Callable[[], bool]) -> None:
        """`late`: whether the look has taken as long as it may."""
        self._values, self._waits, self._late = values, waits, late

    def of(self, owner: int) -> list[int]:
        """Attributes of an object. Raises BadAddress."""
        return [a for a in list(self._values.attributes(owner).values())[:_ATTRIBUTES] if a]

    def inside(self, owner: int, futures: Collection[int], found: set[int]) -> None:
        """Adds the futures, among these, that an object has in an attribute, or in a collection that is one; and these
        collections. Raises BadAddress."""
        values, wanted = self._values, set(futures)
        parts = self.of(owner)
        for part, kind in zip(parts, values.type_names(parts), strict=True):
            if self._late():
                break
            if part in wanted:
                found.add(part)
            elif kind.endswith("Queue") and not kind.endswith("SimpleQueue"):
                with contextlib.suppress(*BAD):
                    attributes = values.attributes(part)
                    items = attributes.get("_queue", 0) or attributes.get("queue", 0)
                    inside = wanted & self.members(items, values.type_name(items), True) if items else set()
                    if inside:
                        found |= {*inside, part}
            elif kind in _COLLECTIONS:
                with contextlib.suppress(*BAD):
                    inside = wanted & self.members(part, kind, True)
                    if inside:
                        found |= inside
                        found.add(part)
            elif kind.endswith("SimpleQueue"):
                found.add(part)

    def members(self, address: int, kind: str, objects: bool) -> set[int]:
        """Members of a collection, and of the tuples (and objects) among them."""
        values = self._values
        direct = self._items(address, kind)
        found = set(direct)
        some = [a for a in direct[:_INSIDE] if a]
        for member, inner in zip(some, values.type_names(some), strict=True):
            with contextlib.suppress(*BAD):
                if inner == "tuple" or (inner and "." not in inner and values.is_a(member, "tuple")):
                    parts = set(values.objects.tuple_items(member, _ITEMS))
                    found |= parts | self.enclosed(parts)
                elif inner in _CALLABLE:
                    found |= self.enclosed({member})
                elif objects and inner and "." not in inner and inner[:1].isupper():
                    found.update(list(values.attributes(member).values())[:FEW])
        return found

    def enclosed(self, parts: set[int]) -> set[int]:
        """What those of these that are functions have in their closures, and those of functools.partial among their
        arguments: a callback that will set a future."""
        values, found = self._values, set[int]()
        some = [a for a in parts if a][:FEW]
        for part, kind in zip(some, values.type_names(some), strict=True):
            if kind in _CALLABLE:
                with contextlib.suppress(*BAD):
                    found.update(self._waits.enclosed(part, kind))
        return found

    def _items(self, address: int, kind: str) -> list[int]:
        values = self._values
        if kind == "collections.deque":
            return list(values.objects.deque_items(address, _MEMBERS))
        if kind == "set":
            return values.set_items(address, _MEMBERS)
        if kind in ("list", "tuple"):
            return values.list_items(address, _MEMBERS)
        items = list(values.objects.items(address))[:_MEMBERS]
        return [value for _, value in items] + [key for key, _ in items]
