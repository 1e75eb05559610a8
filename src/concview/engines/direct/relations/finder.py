"""Which live frames refer to an object: as a variable, by attributes of one, by a global, by a `with`."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from concview.cpython.attributes import Attributes
from concview.cpython.code import Code, Place
from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress
from concview.engines.direct.bounded import remember
from concview.engines.direct.relations.frames import Frames, LiveFrame, Variable

#: Attributes of attributes that are followed: `self.pool._cond`.
LEVELS = 2
#: Objects whose attributes are read in one look, kept, and believed for so long without a second look. Those that a
#: thread refers to which has moved are read again at once: another object may lie there now.
_OBJECTS, _KEPT, _BELIEVED_NS = 192, 2048, 3_000_000_000
#: Namespaces (modules) read in one look; entries of one; believed for so long.
_NAMESPACES, _ENTRIES, _NAMED = 8, 4_000, 400
#: Ways to one object that are followed.
_WAYS = 64


class Link(NamedTuple):
    """An attribute of an instance."""

    owner: int
    name: str
    value: int


class Way(NamedTuple):
    """From an object to one that is waited for: no links, when it is that itself."""

    target: int
    links: tuple[Link, ...]


class Found(NamedTuple):
    """A frame that refers to a target."""

    target: int
    variable: Variable
    links: tuple[Link, ...]
    place: Place  #: where the frame stood when it was looked at again

    @property
    def path(self) -> str:
        name = self.variable.name or ("with" if self.variable.by == "with" else "")
        return ".".join([name, *(link.name for link in self.links)])


#: Objects whose types are looked at in one search. Linux maps nothing below (vm.mmap_min_addr).
MOST_REFERRED, LOWEST = 4_000, 4096


class _Module:
    """The globals of some functions: value -> address of the key, and names where they are few."""

    __slots__ = ("names", "read_ns", "values")

    def __init__(self, values: dict[int, int], names: dict[str, int], read_ns: int) -> None:
        self.values, self.names, self.read_ns = values, names, read_ns


class Finder:
    def __init__(self, reader: LockReader, attributes: Attributes, frames: Frames) -> None:
        self.objects = self._objects = reader.objects
        self._memory, self._o = reader.memory, reader.offsets
        self._attributes, self._frames = attributes, frames
        self.name = frames.name
        self._known: dict[int, tuple[int, dict[str, int]]] = {}  #: instance -> (when, its attributes)
        self._plain: set[int] = set()  #: addresses of what is no instance
        self._plain_until = 0
        self._modules: dict[int, _Module] = {}
        self._names: dict[int, tuple[bytes, frozenset[str]]] = {}  #: code -> the global names it refers to
        self.torn = 0
        self.complete = True  #: every frame given was searched in full
        self.frames: list[LiveFrame] = []
        self.instances: dict[int, dict[str, int]] = {}  #: that the frames refer to -> their attributes
        self._walks: dict[
            int, list[object]
        ] = {}  #: tid -> what was found of its stacks at the last look; each walk makes it anew

    def forget(self) -> None:
        """Addresses may have been reused."""
        self._known.clear()
        self._plain.clear()
        self._modules.clear()
        self._names.clear()
        self._walks.clear()

    # ------------------------------------------------------------------ one look

    def begin(self, frames: list[LiveFrame], first: set[int], now: int) -> None:
        """Look at the objects that these frames refer to. `first`: tids whose objects come before others' (those that
        wait)."""
        self.complete = True
        self.frames = frames
        self.instances = self._instances(frames, first, now)

    def find(self, targets: set[int]) -> list[Found]:
        """All references to the targets, each confirmed by a second read."""
        ways = self._ways(targets, self.instances)
        found: list[tuple[Variable, Way]] = []
        wanted = set(ways)
        for frame in self.frames:
            for variable in self._frames.variables(frame, wanted):
                found += [(variable, way) for way in ways[variable.value]]
        found += self._globals(self.frames, ways, wanted)
        return self._confirmed(found)

    def _instances(self, frames: list[LiveFrame], first: set[int], now: int) -> dict[int, dict[str, int]]:
        """Attributes of the instances that frames refer to."""
        if now >= self._plain_until:
            self._plain_until = now + _BELIEVED_NS
            self._plain.clear()
        waiting, owners, others = [], [], []
        moved, doubtful = self._moved(frames), set[int]()
        for frame in frames:
            values = [*frame.values, *frame.cells.values(), *(m.value for m in frame.managers)]
            if frame.thread.tid in moved:
                doubtful.update(values)
            if frame.thread.tid in first:
                waiting += values
            else:
                owners += values[:1]
                others += values[1:]
        self._plain -= doubtful
        order = dict.fromkeys(waiting)
        order.update(dict.fromkeys(self._referred(frames, first, now)))
        order.update(dict.fromkeys(owners))
        order.update(dict.fromkeys(others))
        for address in self._plain:
            order.pop(address, None)
        order.pop(0, None)
        stale = [a for a in order if a not in self._known or a in doubtful or now - self._known[a][0] > _BELIEVED_NS]
        if len(stale) > 2 * _KEPT:
            self.complete = False
            del stale[2 * _KEPT :]
        kinds = self._attributes.instances(stale)
        plain = [a for a in stale if a not in kinds]
        self._plain.update(plain)
        for address in plain:
            self._known.pop(address, None)
        left = _OBJECTS
        for address, kind in kinds.items():
            if not left:
                self.complete = False
                break
            left -= 1
            try:
                attributes = self._attributes.of(address, kind)
            except (BadAddress, struct.error):
                attributes = {}
            remember(self._known, address, (now, attributes), _KEPT)
        return {a: self._known[a][1] for a in order if a in self._known}

    def _moved(self, frames: list[LiveFrame]) -> set[int]:
        """Threads whose stacks are not those of the last look."""
        walks: dict[int, list[object]] = {}
        for frame in frames:
            known = walks.setdefault(frame.thread.tid, [])
            if all(frame.thread.walk.addresses is not one for one in known):
                known.append(frame.thread.walk.addresses)
        before, self._walks = self._walks, walks
        return {
            tid
            for tid, known in walks.items()
            if len(known) != len(before.get(tid, ()))
            or any(a is not b for a, b in zip(known, before[tid], strict=True))
        }

    def _ways(self, targets: set[int], instances: dict[int, dict[str, int]]) -> dict[int, list[Way]]:
        ways: dict[int, list[Way]] = {t: [Way(t, ())] for t in targets}
        newest = dict(ways)
        for _ in range(LEVELS):
            beyond: dict[int, list[Way]] = {}
            wanted = newest.keys()
            for owner, attributes in instances.items():
                if wanted.isdisjoint(attributes.values()):
                    continue
                for name, value in attributes.items():
                    for way in newest.get(value, ()):
                        # No circles: an object that leads to itself is not a new way.
                        if owner != way.target and all(link.owner != owner for link in way.links):
                            beyond.setdefault(owner, []).append(Way(way.target, (Link(owner, name, value), *way.links)))
            for owner, more in beyond.items():
                known = ways.setdefault(owner, [])
                have = {way.target for way in known}
                # The shortest way to a target is enough.
                known += [way for way in more[:_WAYS] if way.target not in have]
            newest = beyond
        return ways

    # ------------------------------------------------------------------ globals

    def _referred(self, frames: list[LiveFrame], first: set[int], now: int) -> list[int]:
        """Values of the globals that functions refer to by name."""
        values: list[int] = []
        seen: set[int] = set()
        left = _NAMESPACES
        for frame in sorted(frames, key=lambda f: f.thread.tid not in first):
            if frame.code.address in seen or self._frames.stdlib(frame.code.file) or not frame.namespace:
                continue
            seen.add(frame.code.address)
            module = self._modules.get(frame.namespace)
            if module is None or now - module.read_ns > _BELIEVED_NS:
                if not left:
                    self.complete = False
                    continue
                left -= 1
                module = self._module(frame.namespace, now)
                remember(self._modules, frame.namespace, module, 256)
            if module.names:
                values += [module.names[name] for name in self._names_of(frame.code) if name in module.names]
        return values

    def _module(self, namespace: int, now: int) -> _Module:
        try:
            if self._objects.type_name(namespace) != "dict":
                return _Module({}, {}, now)
            items = self._objects.items(namespace)
            if len(items) > _ENTRIES:
                self.complete = False
                del items[_ENTRIES:]
            names: dict[str, int] = {}
            if len(items) <= _NAMED:
                texts = self._objects.strings([key for key, _ in items])
                names = {text: value for text, (_, value) in zip(texts, items, strict=True) if text is not None}
            return _Module({value: key for key, value in items}, names, now)
        except (BadAddress, struct.error):
            return _Module({}, {}, now)

    def _names_of(self, code: Code) -> frozenset[str]:
        known = self._names.get(code.address)
        if known is not None and known[0] is code.fingerprint:
            return known[1]
        try:
            at = self._memory.word(code.address + self._o["co.names"])
            texts = self._objects.strings(list(self._objects.tuple_items(at, 4096)))
            names = frozenset(t for t in texts if t is not None)
        except (BadAddress, struct.error):
            names = frozenset()
        remember(self._names, code.address, (code.fingerprint, names), 4096)
        return names

    def _globals(
        self, frames: list[LiveFrame], ways: dict[int, list[Way]], wanted: set[int]
    ) -> list[tuple[Variable, Way]]:
        found: list[tuple[Variable, Way]] = []
        hits: dict[int, dict[str, tuple[int, int]]] = {}  #: namespace -> name -> (key, value)
        for frame in frames:
            module = self._modules.get(frame.namespace)
            if module is None or self._frames.stdlib(frame.code.file):
                continue
            known = hits.get(frame.namespace)
            if known is None:
                known = hits[frame.namespace] = self._among(frame.namespace, module, wanted)
            if not known:
                continue
            for name in known.keys() & self._names_of(frame.code):
                value = known[name][1]
                found += [(Variable(frame, "global", name, value, []), way) for way in ways[value]]
        return found

    def _among(self, namespace: int, module: _Module, wanted: set[int]) -> dict[str, tuple[int, int]]:
        """Names of a module that lead to something wanted, read again."""
        if wanted.isdisjoint(module.values):
            return {}
        try:
            now = [(key, value) for key, value in self._objects.items(namespace)[:_ENTRIES] if value in wanted]
            names = self._objects.strings([key for key, _ in now])
        except (BadAddress, struct.error):
            self.torn += 1
            return {}
        return {name: pair for name, pair in zip(names, now, strict=True) if name is not None}

    def referred(self, named_globals: bool = False) -> list[int]:
        """Addresses of objects that frames refer to, or an attribute of such an instance; of globals where asked."""
        wanted: dict[int, None] = {}
        for frame in self.frames:
            wanted.update(dict.fromkeys(frame.values))
            wanted.update(dict.fromkeys(frame.cells.values()))
            wanted.update(dict.fromkeys(m.value for m in frame.managers))
        for attributes in self.instances.values():
            wanted.update(dict.fromkeys(attributes.values()))
        if named_globals:
            wanted.update(dict.fromkeys(self._named_globals()))
        return [a for a in wanted if a > LOWEST and not a & 7][:MOST_REFERRED]

    def _named_globals(self) -> list[int]:
        """Values of the globals that the functions of these frames refer to by name, as they were read last."""
        values: list[int] = []
        for frame in self.frames:
            module = self._modules.get(frame.namespace)
            if module is not None and module.names and not self._frames.stdlib(frame.code.file):
                values += [module.names[name] for name in self._names_of(frame.code) if name in module.names]
        return values

    # ------------------------------------------------------------------ the second look

    def _confirmed(self, found: list[tuple[Variable, Way]]) -> list[Found]:
        links = {link for _, way in found for link in way.links}
        good: set[Link] = set()
        for owner in {link.owner for link in links}:
            try:
                attributes = self._attributes.of(owner)
            except (BadAddress, struct.error):
                attributes = {}
            mine = {link for link in links if link.owner == owner}
            good |= {link for link in mine if attributes.get(link.name) == link.value}
            if not mine <= good:
                self._known.pop(owner, None)
        places = self._frames.still([variable for variable, _ in found])
        result: list[Found] = []
        for (variable, way), place in zip(found, places, strict=True):
            if place is None or not good.issuperset(way.links):
                self.torn += 1
            else:
                result.append(Found(way.target, variable, way.links, place))
        return result


def of_target(found: Iterable[Found]) -> dict[int, list[Found]]:
    by: dict[int, list[Found]] = {}
    for each in found:
        by.setdefault(each.target, []).append(each)
    return by
