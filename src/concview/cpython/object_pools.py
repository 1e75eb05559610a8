"""Finding all instances of a few types: the pools of Python's allocator for small objects, looked through by size.

Objects of up to 512 bytes lie in pools, each of one size and aligned to its own size; a pool's head says which
(`struct pool_header` of Objects/obmalloc.c, 3.8 to 3.15). So only the heads of pools, and the few pools whose size is
that of a wanted type, are read. Programs with another allocator (PYTHONMALLOC=malloc, builds without a GIL) have none.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from concview.cpython.memory import MAX_SEGMENTS, Memory, mappings
from concview.cpython.offsets import Offsets
from concview.errors import NotPermitted

#: Largest object of a pool, bytes; sizes are multiples of `_ALIGNMENT`.
LARGEST = 512
_ALIGNMENT = 16
#: sizeof(struct pool_header), bytes; what comes before an object that the garbage collector knows, bytes.
_HEAD, GC_HEAD = 48, 16
#: Mappings larger than this are no heap of small objects; pool heads looked at in one pass at most.
_LARGEST_MAPPING = 4 << 30
MAX_HEADS = 1 << 18
#: Pools read at once.
_TOGETHER = 64
#: Objects found in one pass at most.
MAX_FOUND = 50_000
#: Above any count of references, that of immortal objects included, and below any address in use.
_MOST_REFERENCES = 1 << 33

_WORD = struct.Struct("<Q").unpack_from


class ObjectPools:
    """`search` goes through all memory in small steps. Addresses are those of moments: check what lies there."""

    def __init__(self, memory: Memory, offsets: Offsets) -> None:
        self._memory, self._o = memory, offsets
        self._size = 1 << 14 if offsets.features.large_pools else 1 << 12
        self.pools = 0  #: pools seen in the last whole pass
        self.whole = True  #: the last pass left nothing out

    @property
    def problem(self) -> str:
        """Why there are no pools; '' when there may be."""
        return "objects of a build without a GIL do not lie in pools" if self._o.free_threaded else ""

    def search(self, wanted: dict[int, int]) -> Iterator[list[tuple[int, int]]]:
        """`wanted`: address of a type -> bytes of an instance, without what precedes it. Yields, after each short step,
        (address, type) of what was found in it. Raises TargetGone."""
        sizes: dict[int, list[int]] = {}
        for type_, size in wanted.items():
            if size + GC_HEAD <= LARGEST:
                sizes.setdefault((size + GC_HEAD - 1) // _ALIGNMENT, []).append(type_)
        self.whole, pools, found = True, 0, 0
        for addresses in self._candidates():
            matched = []
            for address, class_ in self._heads(addresses):
                pools += 1
                if class_ in sizes:
                    matched.append((address, class_))
            yield []
            for start in range(0, len(matched), _TOGETHER):
                some = self._within(matched[start : start + _TOGETHER], sizes)
                found += len(some)
                yield some
                if found >= MAX_FOUND:
                    self.whole = False
                    return
        self.pools = pools

    def _candidates(self) -> Iterator[list[int]]:
        """Where pools may lie, so many as are read with one call."""
        size, batch, count = self._size, list[int](), 0
        try:
            places = list(mappings(self._memory.facts))
        except NotPermitted:
            self.whole = False
            return
        for place in places:
            if not place.permissions.startswith("rw-p") or (place.path and not place.path.startswith("[anon")):
                continue
            if place.end - place.start > _LARGEST_MAPPING:
                self.whole = False
                continue
            for address in range(-(-place.start // size) * size, place.end - size + 1, size):
                batch.append(address)
                if len(batch) == MAX_SEGMENTS:
                    count += len(batch)
                    yield batch
                    batch = []
                    if count >= MAX_HEADS:
                        self.whole = False
                        return
        if batch:
            yield batch

    def _heads(self, addresses: list[int]) -> list[tuple[int, int]]:
        """(pool, its class of size) of those that are pools with something in them."""
        data = self._memory.read_joined(array("Q", [n for a in addresses for n in (a, _HEAD)]), _HEAD * len(addresses))
        if data is None:
            parts = self._memory.read_many([(a, _HEAD) for a in addresses])
            data = b"".join([part if part is not None else bytes(_HEAD) for part in parts])
        numbers, size = memoryview(data).cast("I"), self._size
        step = _HEAD // 4
        # Fields: count 0, padding 1, freeblock 2-3, next 4-5, previous 6-7, arena 8, class 9, next offset 10, last 11.
        return [
            (address, class_)
            for address, count, class_, first, last in zip(
                addresses, numbers[::step], numbers[9::step], numbers[10::step], numbers[11::step], strict=True
            )
            if class_ < LARGEST // _ALIGNMENT
            and last == size - (class_ + 1) * _ALIGNMENT
            and 0 < count <= size // ((class_ + 1) * _ALIGNMENT)
            and _HEAD <= first <= size + LARGEST
        ]

    def _within(self, pools: list[tuple[int, int]], sizes: dict[int, list[int]]) -> list[tuple[int, int]]:
        size, found = self._size, list[tuple[int, int]]()
        at = self._o["ob.type"] + GC_HEAD
        for (pool, class_), data in zip(pools, self._memory.read_many([(p, size) for p, _ in pools]), strict=True):
            if data is None:
                continue
            each = (class_ + 1) * _ALIGNMENT
            for type_ in sizes[class_]:
                word, where = struct.pack("<Q", type_), -1
                while (where := data.find(word, where + 1)) >= 0:
                    block = where - at
                    if block < _HEAD or (block - _HEAD) % each:
                        continue
                    # A freed object has no references; its type may still be written there.
                    if 0 < _WORD(data, block + GC_HEAD)[0] < _MOST_REFERENCES:
                        found.append((pool + block + GC_HEAD, type_))
        return found
