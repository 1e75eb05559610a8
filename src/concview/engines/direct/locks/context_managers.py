"""From what a `with` keeps on the value stack to the locks that it stands for.

A lock is its own context manager. Conditions, semaphores, generators, exit stacks and classes of the program's own are
followed to the locks behind them.
"""

from __future__ import annotations

import struct

from concview.cpython.code import Codes, With
from concview.cpython.locks import LOCK, PRIMITIVES, RLOCK, LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Type
from concview.model import LENT, LENT_KIND

_WORD = struct.Struct("<Q").unpack_from
#: ContextManagers inside managers (a generator's `with` in a `with`) that are followed.
_MAX_DEPTH = 8
#: Slots read of a suspended generator's frame.
_MAX_SLOTS = 512
#: Of multiprocessing.managers, each with a lock in the Manager's process.
_LENT = ("AcquirerProxy", "ConditionProxy")
_SEMAPHORES = ("Semaphore", "BoundedSemaphore")
#: Times that an exit method must be seen to be a lock's before it is taken to be one.
_SURE = 3


class Found:
    """A lock that a `with` seems to hold."""

    __slots__ = ("address", "kind", "managed", "sure")

    def __init__(self, address: int, kind: str, managed: int, sure: bool = True) -> None:
        self.address = address  #: of the lock object
        self.kind = kind
        self.managed = managed  #: the primitive lock whose state tells whether it is held; 0: there is none
        self.sure = sure


class ContextManagers:
    def __init__(self, reader: LockReader, codes: Codes) -> None:
        self._reader, self._codes = reader, codes
        self._memory, self._objects, self._o = reader.memory, reader.objects, reader.offsets
        self.unbound = reader.offsets.features.exit_unbound  #: the stack keeps the method and the manager
        #: The exit methods of locks -> the lock's kind. From 3.14 on by the method's address: it belongs to the type.
        #: Up to 3.13 by (type of a bound method, definition of the method): these belong to the C module.
        self.exits: dict[object, str] = {}
        self._seen: dict[tuple[object, str], int] = {}

    def learn(self, exit_: object, kind: str) -> None:
        """An exit method was that of a lock of this kind. The stack may have been torn: once is not enough."""
        count = self._seen[exit_, kind] = self._seen.get((exit_, kind), 0) + 1
        if count >= _SURE and len(self.exits) < 64:
            self.exits[exit_] = kind
        if len(self._seen) > 1000:
            self._seen.clear()

    def anew(self, manager: int, ident: int) -> list[Found]:
        """The locks that a context manager of thread `ident` stands for."""
        kind = self._reader.kinds([manager]).get(manager)
        return self._resolve(manager, kind, ident, 0) if kind is not None else []

    def from_slots(
        self, withs: list[With], slots: list[tuple[int, ...]], known: list[tuple[Type, bytes] | None] | None
    ) -> list[int]:
        """`known`: what the first word of each slot refers to, where the caller has it already."""
        if known is None:
            if self.unbound and all(s[1] and w.sure for s, w in zip(slots, withs, strict=True)):
                return [s[1] for s in slots]
            exits = [s[0] for s, w in zip(slots, withs, strict=True) if len(s) == 1 or not s[1] or not w.sure]
            heads = self._reader.heads(exits) if exits else {}
            known = [heads.get(slot[0]) for slot in slots]
        managers: list[int] = []
        for block, slot, method in zip(withs, slots, known, strict=True):
            if not block.sure and (method is None or not self.is_exit(*method)):
                managers.append(0)
            elif len(slot) == 2 and slot[1]:
                managers.append(slot[1])
            else:
                managers.append(self._reader.bound_self(*method) if method is not None else 0)
        return managers

    def is_exit(self, kind: Type, head: bytes) -> bool:
        """Whether a callable is named __exit__: for code whose handlers are rewritten by tracing."""
        o, memory = self._o, self._memory
        if kind.name == "builtin_function_or_method":
            method = memory.word(_WORD(head, o["cfunction.m_ml"])[0])
            return self._objects.c_string(method) in ("__exit__", "__aexit__")
        if kind.name == "method_descriptor":
            return self._objects.string(_WORD(head, o["descr.d_name"])[0]) in ("__exit__", "__aexit__")
        function = _WORD(head, o["method.im_func"])[0] if kind.name == "method" else 0
        if kind.name == "function":
            code = self._codes.get(_WORD(head, o["function.func_code"])[0])
        elif function and self._objects.type_name(function) == "function":
            code = self._codes.get(memory.word(function + o["function.func_code"]))
        else:
            return False
        return code is not None and code.name in ("__exit__", "__aexit__")

    def _resolve(self, manager: int, kind: Type, ident: int, depth: int) -> list[Found]:
        """The locks that a context manager stands for."""
        name = kind.name
        if name in PRIMITIVES:
            return [Found(manager, PRIMITIVES[name], manager)]
        if depth >= _MAX_DEPTH:
            return []
        if name in _SEMAPHORES:
            return [Found(manager, "Semaphore", 0)]
        try:
            attributes = self._objects.attributes(manager)
            if name == "Condition":
                inner = self._named([attributes.get("_lock", 0)], ident, depth)
                return [Found(f.address, "Condition", f.managed) for f in inner]
            if name == "_GeneratorContextManager":
                return self._generator(attributes.get("gen", 0), ident, depth + 1)
            if name == "ExitStack":
                return self._exit_stack(attributes.get("_exit_callbacks", 0), ident, depth + 1)
            return self._custom(manager, attributes, ident)
        except (BadAddress, struct.error):
            return []

    def _named(self, addresses: list[int], ident: int, depth: int) -> list[Found]:
        found: list[Found] = []
        for address, kind in self._reader.kinds(addresses).items():
            found += self._resolve(address, kind, ident, depth + 1)
        return found

    def _custom(self, manager: int, attributes: dict[str, int], ident: int) -> list[Found]:
        """A manager class of the program's own: locks among its attributes, as a guess; multiprocessing's exactly."""
        if self._objects.type_name(manager) in _LENT:
            return self._lent(attributes)
        found: list[Found] = []
        for address, kind in self._reader.kinds(list(attributes.values())[:64]).items():
            if kind.name in (LOCK, RLOCK):
                found.append(Found(address, PRIMITIVES[kind.name], address, sure=False))
            elif kind.name == "_multiprocessing.SemLock" and self._reader.semlock_owner(address) == ident:
                found.append(Found(manager, "multiprocessing." + self._objects.type_name(manager), 0))
        return found

    def _lent(self, attributes: dict[str, int]) -> list[Found]:
        """A lock that the process of a multiprocessing.Manager lends: known by its address there."""
        try:
            return [Found(LENT | int(self._objects.string(attributes.get("_id", 0), 80), 16), LENT_KIND, 0)]
        except ValueError:
            return []

    def _generator(self, generator: int, ident: int, depth: int) -> list[Found]:
        """`with` blocks of a suspended generator."""
        o = self._o
        if not generator or self._objects.type_name(generator) not in ("generator", "coroutine", "async_generator"):
            return []
        stands = self._codes.suspended(generator)
        if stands is None or not stands[0].withs:
            return []
        place, frame = stands
        count = min(place.code.nlocalsplus + place.code.stacksize, _MAX_SLOTS)
        words = [w & o.tag_mask for w in self._memory.words(frame + o["f.localsplus"], count)]
        width = 2 if self.unbound else 1
        withs = [w for w in place.withs if w.slot + width <= count]
        managers = self.from_slots(withs, [tuple(words[w.slot : w.slot + width]) for w in withs], None)
        return self._named(managers, ident, depth)

    def _exit_stack(self, callbacks: int, ident: int, depth: int) -> list[Found]:
        """Entries are (is_sync, callback); the callback of a manager is its bound exit method."""
        found: list[Found] = []
        if not callbacks or self._objects.type_name(callbacks) != "collections.deque":
            return found
        for entry in reversed(self._reader.objects.deque_items(callbacks)):
            items = self._objects.tuple_items(entry, 16)
            for kind, head in self._reader.heads(items[1:2]).values():
                found += self._named([self._reader.bound_self(kind, head)], ident, depth)
        return found
