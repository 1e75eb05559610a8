"""What a task holds: the `with` and `async with` blocks that its suspended frames are in, and pools' connections.

A frame inside `async with x:` keeps the exit method of x on its value stack, at a depth that the exception table tells
(see `Place.withs`). Exact, for every manager; asyncio's own locks do not know who holds them.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

from concview.cpython.aio import roles
from concview.cpython.aio.chain import Chains, Link
from concview.cpython.aio.values import BAD, Values
from concview.cpython.code import Code

#: Managers inside managers that are followed, and holds of one task.
_MAX_DEPTH, MAX_HOLDS = 6, 64
GENERATORS = ("_AsyncGeneratorContextManager", "_GeneratorContextManager")
_STACKS = ("AsyncExitStack", "ExitStack")
_THREAD_LOCKS = {"_thread.lock": "Lock", "_thread.RLock": "RLock"}
#: Attributes of a manager class of the program's own that are looked at for locks.
_MAX_ATTRIBUTES = 24
_LOCKS = ("Lock", "Semaphore", "BoundedSemaphore")
#: How a block is entered; types of managers that are known, and bases of one.
_ENTERS, _MAX_TYPES, _MAX_BASES = ("__aenter__", "__enter__"), 1_024, 16

_WORD = struct.Struct("<Q").unpack_from


class Held:
    """Something that a task has: `object` an address."""

    __slots__ = ("exact", "kind", "library", "line", "link", "named", "nth", "object")

    def __init__(self, object_: int, kind: str, library: str, link: Link, line: int, nth: int, exact: bool) -> None:
        self.object, self.kind, self.library = object_, kind, library
        self.link, self.line, self.nth = link, line, nth  #: the frame, the `with`'s line, how many further in on it
        self.exact = exact
        self.named = True  #: what is written at the `with` is its name: not of what an exit stack was given


class Holders:
    def __init__(
        self, values: Values, chains: Chains, by_source: Callable[[list[Link], list[Held]], list[Held]]
    ) -> None:
        """`by_source`: what frames have by calls rather than blocks, beside what they are known to have."""
        self._values, self._chains, self._by_source = values, chains, by_source
        self._memory, self._o = values.memory, values.o
        self._unbound = values.o.features.exit_unbound  #: the stack keeps the method and, above it, the manager
        self._passed: set[int] | None = None  #: generators that were looked into, while somebody asks for them
        self._users: dict[int, tuple[Code, roles.User | None]] = {}
        self._entering: dict[int, frozenset[str] | None] = {}  #: type of a manager -> names in how it is entered

    def forget(self) -> None:
        self._users.clear()
        self._entering.clear()

    def of(self, links: list[Link], check: list[tuple[int, bytes]]) -> list[Held]:
        """Outermost first. What it was concluded from is added to `check`: (address, bytes)."""
        found: list[Held] = []
        for link in links:
            if link.created:
                continue
            with contextlib.suppress(*BAD):
                if link.place.withs:
                    self._frame(link, link, (0, 0), found, check, 0)
                self._user(link, link, found)
            if len(found) >= MAX_HOLDS:
                break
        return found

    def generators(self, links: list[Link]) -> set[int]:
        """Addresses of the generators that are the managers of these frames' blocks, or of exit stacks there: what
        those have, the frames have. Raises BadAddress."""
        found: set[int] = set()
        self._passed = found
        try:
            self.of(links, [])
        finally:
            self._passed = None
        return found

    def managers(self, links: list[Link]) -> list[int]:
        """The managers of all blocks that frames are in, of every class; of one that is a generator, what its methods
        belong to, too. Raises BadAddress."""
        found: list[int] = []
        for link in links:
            for block in link.place.withs if not link.created else ():
                manager = self._manager(link, block.slot, block.sure, [])
                if not manager:
                    continue
                found.append(manager)
                if self._values.type_name(manager) in GENERATORS:
                    inner = self._values.attribute(manager, "gen")
                    frame = self._chains.frame(inner) if inner else None
                    if frame is not None:
                        found += [a for name in ("self", "cls") if (a := self._chains.local(frame, name))]
            if len(found) >= MAX_HOLDS:
                break
        return found

    def _frame(
        self,
        link: Link,
        at: Link,
        outer: tuple[int, int],
        found: list[Held],
        check: list[tuple[int, bytes]],
        depth: int,
    ) -> None:
        """The blocks of one frame, outermost first. `at`: the task's own frame that it belongs to; `outer`: the block
        of that frame which a manager's own frame stands for."""
        line = nth = 0
        blocks = list(reversed(link.place.withs))
        for block in blocks:
            nth = nth + 1 if block.line == line else 0
            line = block.line
            manager = self._manager(link, block.slot, block.sure, check)
            if manager:
                site = (line, sum(b.line == line for b in blocks) - 1 - nth) if link is at else outer
                self._resolve(manager, at, site, found, check, depth)

    def _manager(self, link: Link, slot: int, sure: bool, check: list[tuple[int, bytes]]) -> int:
        """The context manager of a block; 0 where there is none (any more)."""
        values, o = self._values, self._o
        raw = self._chains.raw(link, slot)
        method = raw & o.tag_mask
        check.append((link.slots + 8 * slot, struct.pack("<Q", raw)))
        if self._unbound:
            raw = self._chains.raw(link, slot + 1)
            manager = raw & o.tag_mask
            if manager:
                check.append((link.slots + 8 * slot + 8, struct.pack("<Q", raw)))
                return manager if sure or self._exits(method) else 0
        kind = values.type_name(method)
        if kind == "method":
            at = o["method.im_self"]
        elif kind == "builtin_function_or_method":
            at = o["cfunction.m_self"]
        else:
            return 0
        data = self._memory.read(method + at, 8)
        check.append((method + at, data))
        manager = _WORD(data)[0]
        return manager if sure or self._exits(method) else 0

    def _exits(self, method: int) -> bool:
        """Whether a callable is an exit method: for code whose handlers are rewritten by tracing."""
        values, o = self._values, self._o
        kind = values.type_name(method)
        if kind == "method":
            method, kind = self._memory.word(method + o["method.im_func"]), "function"
        if kind == "function":
            code = self._chains.code(self._memory.word(method + o["function.func_code"]))
            return code is not None and code.name in ("__exit__", "__aexit__")
        return kind in ("builtin_function_or_method", "method_descriptor")

    # ------------------------------------------------------------------ from a manager to what is held

    def _resolve(
        self,
        manager: int,
        link: Link,
        site: tuple[int, int],
        found: list[Held],
        check: list[tuple[int, bytes]],
        depth: int,
    ) -> None:
        values = self._values
        if depth > _MAX_DEPTH or len(found) >= MAX_HOLDS:
            return
        name = values.type_name(manager)
        if name in _THREAD_LOCKS:
            found.append(Held(manager, _THREAD_LOCKS[name], "threading", link, *site, True))
            return
        if name in GENERATORS:
            inner = values.attribute(manager, "gen")
            frame = self._chains.frame(inner) if inner else None
            if self._passed is not None:
                self._passed.add(inner)
            if frame is not None:
                check += frame.stand[:1]
                self._frame(frame, link, site, found, check, depth + 1)
                self._user(frame, link, found)
                called = self._by_source([frame], found)
                found += [Held(h.object, h.kind, h.library, link, *site, False) for h in called]
            return
        if name in _STACKS:
            callbacks = values.attribute(manager, "_exit_callbacks")
            for entry in values.objects.deque_items(callbacks) if callbacks else ():
                callback = (*values.objects.tuple_items(entry, 4), 0, 0)[1]
                if values.type_name(callback) == "method":
                    inner = self._memory.word(callback + self._o["method.im_self"])
                    before = len(found)
                    self._resolve(inner, link, site, found, check, depth + 1)
                    for held in found[before:]:
                        held.named = False
            return
        path = roles.MANAGERS.get(name)
        if path is not None:
            pool = values.attribute(manager, *path)
            if pool:
                found.append(Held(pool, "Pool", "", link, *site, True))
            return
        attributes = values.attributes(manager)
        kind = lock_kind(values, name, attributes)
        if kind is not None:
            self._lock(manager, kind, attributes, link, site, found)
            return
        parts = list(attributes.items())[:_MAX_ATTRIBUTES]
        kinds = values.type_names([value for _, value in parts]) if parts else []
        for (attribute, value), inner_name in zip(parts, kinds, strict=True):
            if inner_name in _LOCKS and self._enters_by(manager, attribute):
                inside = values.attributes(value)
                kind = lock_kind(values, inner_name, inside)
                if kind is not None and locked(values, kind[0], inside):
                    found.append(Held(value, kind[0], kind[1], link, *site, False))

    def _enters_by(self, manager: int, attribute: str) -> bool:
        """Whether who enters this object has to do with an attribute of it, by the names in `__aenter__` and in the
        methods that it calls: a pool that is merely closed at the end of a block is not taken by it. True where that
        cannot be read."""
        type_ = self._memory.word(manager + self._o["ob.type"])
        if type_ not in self._entering:
            if len(self._entering) >= _MAX_TYPES:
                self._entering.clear()
            self._entering[type_] = None
            with contextlib.suppress(*BAD):
                self._entering[type_] = self._names_of_entering(type_)
        names = self._entering[type_]
        return names is None or attribute in names

    def _names_of_entering(self, type_: int) -> frozenset[str] | None:
        values = self._values
        methods: dict[str, int] = {}
        for base in values.objects.tuple_items(self._memory.word(type_ + values.layout.bases), _MAX_BASES):
            namespace = self._memory.word(base + values.layout.namespace)
            # Of a type in C that every interpreter shares it lies elsewhere; `object` has no such method.
            for name, value in (values.objects.items_by_name(namespace) if namespace else {}).items():
                methods.setdefault(name, value)
        enter = next((methods[name] for name in _ENTERS if name in methods), 0)
        names = self._names(enter) if enter else None
        if names is None:
            return None
        every = set(names)
        for method in names & methods.keys():
            every |= self._names(methods[method]) or frozenset()
        return frozenset(every)

    def _names(self, function: int) -> frozenset[str] | None:
        """co_names of a function in Python; None of what is none."""
        values = self._values
        if values.type_name(function) != "function":
            return None
        return values.refers_to(self._memory.word(function + self._o["function.func_code"]))

    def _lock(
        self,
        address: int,
        kind: tuple[str, str],
        attributes: dict[str, int],
        link: Link,
        site: tuple[int, int],
        found: list[Held],
    ) -> None:
        name, library = kind
        if name == "Condition":  # it is its lock that is held
            inner = attributes.get("_lock", 0)
            if inner and library == "asyncio":
                address, attributes = inner, self._values.attributes(inner)
        if locked(self._values, name, attributes):
            found.append(Held(address, name, library, link, *site, True))

    def _user(self, link: Link, at: Link, found: list[Held]) -> None:
        """A library's frame that has something out of a pool."""
        code = link.place.code
        known = self._users.get(code.address)
        if known is None or known[0] is not code:
            if len(self._users) >= 8192:
                self._users.clear()
            known = self._users[code.address] = code, roles.user(code.file, code.qualname)
        if known[1] is None:
            return
        user, values = known[1], self._values
        has = self._chains.local(link, user.needed)
        if has and values.type_name(has) != "NoneType":
            owner = self._chains.local(link, user.local)
            over = values.attribute(owner, *user.over) if user.over else 0
            pool = values.attribute(owner, *user.path)
            if pool and not (over and values.integer(over, 0)):
                kind = lock_kind(values, "", values.attributes(pool)) or ("Pool", "")
                found.append(Held(pool, *kind, at, at.place.line, 0, True))


def lock_kind(values: Values, name: str, attributes: dict[str, int]) -> tuple[str, str] | None:
    """(kind, library) of what looks like a lock of asyncio, anyio or trio; None for anything else."""
    if name.startswith("gevent.") and name.endswith("Semaphore"):
        return "Semaphore", "gevent"
    if name == "LockType" or (name == "RLock" and "_block" in attributes):  # monkey-patched, and gevent.lock's
        return "Lock", "gevent"
    if name in ("Semaphore", "BoundedSemaphore") and "counter" in attributes:
        return "Semaphore", "eventlet"
    if "_borrowers" in attributes:
        return "Limiter", "trio" if "_lot" in attributes else "anyio"
    if name == "Lock":
        if "_owner_task" in attributes:
            return "Lock", "anyio"
        if "_owner" in attributes and "_lot" in attributes:
            return "Lock", "trio"
        return ("Lock", "asyncio") if "_locked" in attributes else None
    if name in ("Semaphore", "BoundedSemaphore"):
        if "_lot" in attributes:
            return "Semaphore", "trio"
        return ("Semaphore", "asyncio") if "_value" in attributes else None
    if name == "Condition" and "_lock" in attributes:
        return "Condition", "trio" if "_lot" in attributes else "asyncio"
    return None


def locked(values: Values, kind: str, attributes: dict[str, int]) -> bool:
    """Whether it can be held by somebody at all: False when it is free."""
    state = attributes.get("_locked", 0)
    return not state or values.integer(state, 1) != 0
