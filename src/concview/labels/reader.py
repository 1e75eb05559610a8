"""A stack's labels: asks the kinds about the frames that they know, and joins what several tell of one thing."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from concview import registry
from concview.cpython.aio.chain import Chains
from concview.cpython.aio.values import BAD, Values
from concview.cpython.code import Code
from concview.labels.access import Access, Ref
from concview.labels.base import Kind, Link, Raw
from concview.model import WorkKind
from concview.source.origin import is_module, place

#: Labels of one stack; slots of a value stack that are looked at; bases of a type.
MAX_LABELS, MAX_STACK, _MAX_BASES = 16, 64, 8
_MOST_CODES = 8192
_LIBRARIES = ("library", "stdlib", "frozen")
#: What functions are called in which a library takes the next item or message, or waits for one.
_TAKING = frozenset(
    (
        "__next__", "__anext__", "next", "consume", "fetch", "get", "next_msg", "receive", "poll", "drain_events",
        "start_consuming", "process_data_events", "listen",
    )
)  # fmt: skip
_METHODS = ("method_descriptor", "builtin_function_or_method")


class Frame(NamedTuple):
    """One live frame: what it runs, and where its first variable lies."""

    code: Code
    slots: int


class Candidate(NamedTuple):
    """A frame that some kinds know, by its function or by what it may call in C."""

    frame: Frame
    kinds: tuple[Kind, ...]
    links: tuple[Link, ...]
    taking: frozenset[str] = frozenset()  #: libraries in whose frames inside it something is taken


@dataclass(slots=True)
class Reading:
    """What one stack said. `raws` innermost first; `proof`: what it was concluded from, to be read again."""

    raws: list[Raw] = field(default_factory=list)
    serves: list[int] = field(default_factory=list)  #: futures that get the result of what runs here
    proof: tuple[tuple[int, bytes], ...] = ()
    failed: bool = False  #: something could not be read: nothing is known


class _Known(NamedTuple):
    code: Code
    kinds: tuple[Kind, ...]
    links: tuple[Link, ...]
    shaped: bool  #: only its arguments tell
    takes: str = ""  #: the library, of a function in which the next item or message is taken


class LabelReader:
    def __init__(self, values: Values, chains: Chains, origin: Callable[[Code], str] = lambda _: "") -> None:
        """`origin`: whose code it is, as a frame's `origin` tells."""
        self._origin = origin
        self.access = Access(values)
        self._values, self._chains = values, chains
        self._mask = values.o.tag_mask
        self._known: dict[int, _Known] = {}
        self._slots: dict[int, tuple[Code, dict[str, int]]] = {}
        self._kinds: dict[str, list[tuple[str, Kind]]] = {}
        self._links: dict[str, list[tuple[str, Link]]] = {}
        self._callers: list[Kind] = []
        #: Its greenlets are on no stack: that it is there must be known.
        self._packages: dict[str, str] = {"-packages/gevent/": "gevent"}  #: part of a file's path -> system
        self.seen: set[str] = set()  #: systems whose code was in a stack
        self._shaped: list[Kind] = []
        self._keepers: list[Kind] = []
        for kind in registry.everything("concview.labels.kinds", "KIND").values():
            for at in kind.places:
                self._packages[_package(at.file)] = kind.system
                self._kinds.setdefault(at.function, []).append((at.file, kind))
            if kind.methods:
                self._callers.append(kind)
            if kind.variables:
                self._keepers.append(kind)
            if kind.arguments:
                self._shaped.append(kind)
        for link in registry.everything("concview.labels.kinds", "LINK").values():
            for at in link.places:
                self._links.setdefault(at.function, []).append((at.file, link))

    def forget(self) -> None:
        """Addresses may have been reused."""
        self.access.forget()
        self._known.clear()
        self._slots.clear()

    # ------------------------------------------------------------------ which frames

    def candidates(self, frames: Iterable[Frame]) -> tuple[Candidate, ...]:
        """Those that kinds know, innermost first, as `frames` are; last the outermost that only its arguments tell:
        of these a request may pass through many."""
        found: list[Candidate] = []
        shaped: Candidate | None = None
        taking: frozenset[str] = frozenset()
        for frame in frames:
            code = frame.code
            known = self._known.get(code.address)
            if known is None or known.code is not code:
                known = self._look_up(code)
            if known.takes:
                taking |= {known.takes}
            if known.shaped:
                shaped = Candidate(frame, known.kinds, ())
            elif (known.kinds or known.links) and len(found) < MAX_LABELS:
                found.append(Candidate(frame, known.kinds, known.links, taking))
        if shaped is not None:
            found.append(shaped)
        return tuple(found)

    def _look_up(self, code: Code) -> _Known:
        # Where the name of its folder does not tell, it is asked about only when a function has the right name.
        there = code.qualname in self._kinds or code.qualname in self._links
        told = self._origin(code) if there else ""
        kinds = tuple(k for file, k in self._kinds.get(code.qualname, ()) if is_module(code.file, file, told))
        links = tuple(k for file, k in self._links.get(code.qualname, ()) if is_module(code.file, file, told))
        if not kinds:
            names = self._called(code)
            kinds = tuple(k for k in self._callers if not k.methods.isdisjoint(names))
        shaped = () if kinds or links else tuple(k for k in self._shaped if self._takes(code, k.arguments))
        if not there:
            library = place(code.file)[0] in _LIBRARIES
            keepers = (k for k in self._keepers if k not in kinds and not (k.own and library))
            kinds += tuple(k for k in keepers if self._has(code, k.variables))
        if len(self._known) >= _MOST_CODES:
            self._known.clear()
        self.seen.update(s for part, s in self._packages.items() if part in code.file)
        takes = code.name in _TAKING and place(code.file)[0] == "library"
        package = place(code.file)[1].partition("/")[0].removesuffix(".py") if takes else ""
        known = self._known[code.address] = _Known(code, kinds + shaped, links, bool(shaped), package)
        return known

    def _takes(self, code: Code, arguments: tuple[str, ...]) -> bool:
        """Whether these are a function's first variables, behind at most one other (`self`)."""
        try:
            slots = self._chains.names(code)
        except BAD:
            return False
        first = slots.get(arguments[0], -1)
        return first in (0, 1) and all(slots.get(n, -1) == first + i for i, n in enumerate(arguments))

    def _has(self, code: Code, variables: frozenset[str]) -> bool:
        """Whether a function has a variable of one of these names."""
        try:
            return not variables.isdisjoint(self._chains.names(code))
        except BAD:
            return False

    def _called(self, code: Code) -> frozenset[str]:
        """Names of attributes and globals that a function uses."""
        values = self._values
        try:
            return values.refers_to(code.address)
        except BAD:
            return frozenset()

    # ------------------------------------------------------------------ reading

    def read(self, candidates: Sequence[Candidate]) -> Reading:
        """What these frames tell."""
        access, result = self.access, Reading()
        access.begin()
        over: set[str] = set()
        try:
            for candidate in candidates:
                view = _View(self, candidate)
                for kind in candidate.kinds:
                    if kind.arguments and any(r.kind is WorkKind.REQUEST for r in result.raws):
                        continue
                    raw = kind.read(view)
                    if raw is None or kind.system in over:
                        continue
                    if raw.next:
                        over.add(kind.system)
                        continue
                    raw.system = raw.system or kind.system
                    result.raws.append(raw)
                for link in candidate.links:
                    future = link.read(view)
                    if future:
                        result.serves.append(future)
            result.proof = access.proof()
        except BAD:
            return Reading(failed=True)
        result.raws = joined(result.raws)
        return result

    def slot(self, frame: Frame, name: str) -> int:
        """Index of a variable; -1: there is none of that name."""
        code = frame.code
        known = self._slots.get(code.address)
        if known is None or known[0] is not code:
            if len(self._slots) >= _MOST_CODES:
                self._slots.clear()
            known = self._slots[code.address] = code, self._chains.names(code)
        return known[1].get(name, -1)

    def variable(self, frame: Frame, name: str) -> int:
        slot, access = self.slot(frame, name), self.access
        if slot < 0:
            return 0
        value = access.word(frame.slots + 8 * slot) & self._mask
        if value and self._values.type_name(value) == "cell":
            value = access.word(value + access.o["cell.ob_ref"]) & self._mask
        return value

    # ------------------------------------------------------------------ calls into C

    def call(self, frame: Frame, types: frozenset[str], methods: frozenset[str]) -> tuple[int, int] | None:
        """The call of a C method in progress: callable, object, arguments lie on the value stack. What a call returns
        overwrites the callable's slot, so a whole triple is the call that runs; the uppermost one counts."""
        access, code = self.access, frame.code
        size = min(code.stacksize, MAX_STACK)
        if not size:
            return None
        words = struct.unpack(f"<{size}Q", access.note(frame.slots + 8 * code.nlocalsplus, 8 * size))
        words = tuple(w & self._mask for w in words)
        kinds = self._values.type_names(words)
        for i in range(size - 2, -1, -1):
            if kinds[i] not in _METHODS:
                continue
            try:
                found = self._triple(words[i : i + 4], kinds[i], types, methods)
            except BAD:
                continue
            if found is not None:
                return found
        return None

    def _triple(
        self, words: Sequence[int], kind: str, types: frozenset[str], methods: frozenset[str]
    ) -> tuple[int, int] | None:
        access, o, objects = self.access, self.access.o, self.access.objects
        if kind == "method_descriptor":
            name = objects.string(access.word(words[0] + o["descr.d_name"]), 40)
            owner, argument = words[1], words[2] if len(words) > 2 else 0
        else:
            name = objects.c_string(access.word(access.word(words[0] + o["cfunction.m_ml"])), 40)
            owner = access.word(words[0] + o["cfunction.m_self"])
            argument = next((w for w in words[1:3] if w), 0)
        if name not in methods or not argument or not self._is_a(owner, types):
            return None
        return owner, argument

    def _is_a(self, address: int, types: frozenset[str]) -> bool:
        kind = self.access.kind(address)
        at = kind.address if kind is not None else 0
        for _ in range(_MAX_BASES):
            if not at:
                return False
            if self._values.name_of(at) in types:
                return True
            at = self._values.memory.word(at + self._values.o["type.tp_base"])
        return False


def _package(file: str) -> str:
    """What the path of an installed library's file has in it."""
    first = file.partition("/")[0]
    return f"/{file}" if first in ("http", "wsgiref") else f"-packages/{first}"


class _View:
    """Implements `base.View`."""

    __slots__ = ("_candidate", "_frame", "_reader")

    def __init__(self, reader: LabelReader, candidate: Candidate) -> None:
        self._reader, self._candidate, self._frame = reader, candidate, candidate.frame

    def function(self) -> str:
        return self._frame.code.qualname

    def taking(self) -> frozenset[str]:
        return self._candidate.taking

    def local(self, name: str) -> Ref:
        return self._reader.access.ref(self._reader.variable(self._frame, name))

    def call(self, types: frozenset[str], methods: frozenset[str]) -> tuple[Ref, Ref] | None:
        found = self._reader.call(self._frame, types, methods)
        access = self._reader.access
        return (access.ref(found[0]), access.ref(found[1])) if found is not None else None


# ---------------------------------------------------------------------- several labels of one thing


def joined(raws: list[Raw]) -> list[Raw]:
    """Innermost first. A server's frame and the framework's inside it tell of one request, an ORM's and a driver's of
    one query: one label, with the outer one's identity, for it is there from beginning to end."""
    found: list[Raw] = []
    for raw in reversed(raws):
        last = found[-1] if found else None
        if last is not None and same(last, raw):
            found[-1] = join(last, raw)
        else:
            found.append(raw)
    return found[::-1]


def same(outer: Raw, inner: Raw) -> bool:
    """Whether they tell of one thing."""
    if outer.kind is not inner.kind:
        return False
    if outer.kind is WorkKind.REQUEST:
        if inner.operation and not inner.method:  # what a request asks for, not one of its own
            return not outer.operation or outer.operation == inner.operation
        alike = outer.path == inner.path or (
            bool(inner.path) and outer.path.partition("?")[0].endswith(inner.path.partition("?")[0])
        )
        return outer.method == inner.method and (alike or not outer.path or not inner.path)
    if outer.kind is WorkKind.QUERY:
        if outer.command or inner.command:
            return outer.command == inner.command and outer.name == inner.name
        return outer.statement == inner.statement or not outer.statement or not inner.statement
    if outer.kind is WorkKind.CALL:
        return outer.method == inner.method and (outer.host == inner.host or not outer.host or not inner.host)
    return outer.key == inner.key


def join(outer: Raw, inner: Raw) -> Raw:
    return Raw(
        outer.kind,
        outer.key,
        method=outer.method or inner.method,
        path=outer.path or inner.path,
        route=f"{outer.mount.rstrip('/')}{inner.route}" if inner.route else outer.route,
        mount=f"{outer.mount}{inner.mount}",
        handler=inner.handler or outer.handler,
        operation=outer.operation or inner.operation,
        host=inner.host or outer.host,
        statement=outer.statement or inner.statement,
        command=outer.command or inner.command,
        rpc=outer.rpc or inner.rpc,
        name=outer.name or inner.name,
        id=outer.id or inner.id,
        partition=outer.partition,
        started_s=outer.started_s or inner.started_s,
        wall_s=outer.wall_s or inner.wall_s,
        local=outer.local if outer.local is not None else inner.local,
        after=outer.after or inner.after,
        alike=outer.alike,
        system=inner.system if inner.route or inner.handler else outer.system,
        detail=outer.detail or inner.detail,
    )
