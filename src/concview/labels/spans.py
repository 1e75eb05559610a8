"""The span of OpenTelemetry that a thread or task is in, out of its `contextvars`.

A context's variables lie in a hash array mapped trie (`Python/hamt.c`): nodes that never change once they are made. The
library keeps one variable, `current_context`, whose value is a dict, and in it the span under a key of its own.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from concview.cpython.aio.values import Values
from concview.cpython.memory import BadAddress
from concview.cpython.offsets import CONTEXT
from concview.labels.access import Access, Ref

#: A Context's `ctx_vars`, a Hamt's `h_root`, a ContextVar's `var_name`; of a node: its size, what it points to.
_VARIABLES, _ROOT, _NAME, _SIZE, _POINTERS = 24, 16, 16, 16, 32
_CHILDREN = 32  #: of an array node, from `_ROOT` on
#: Nodes of a trie, entries of one: of more nothing is said.
_MOST_NODES, _MOST_ENTRIES = 128, 64
_VARIABLE, _KEY = "current_context", "current-span-"
_DIGIT = (1 << 30) - 1
_PATIENCE, _SELDOM = 64, 16


class Span(NamedTuple):
    trace: str  #: 32 hexadecimal digits, as the W3C writes them
    span: str  #: 16
    #: When it began, seconds since the epoch, where it is the first one of this process; 0.0: not known, or it is
    #: inside another one.
    began_s: float


class Spans:
    """Reads with the words noted in `access`."""

    def __init__(self, values: Values, access: Access) -> None:
        self._values, self._access, self._o = values, access, values.o
        version = values.o.version
        self._thread = 0 if values.o.free_threaded else CONTEXT.get(version[:2], 0)
        self._variable = 0  #: address of the library's variable, once it was seen
        self._asked = 0  #: times that it was looked for in vain

    def forget(self) -> None:
        """Addresses may have been reused."""
        self._variable = self._asked = 0

    @property
    def worth_it(self) -> bool:
        """Whether to look: where many a context had nothing of the library's, only now and then."""
        if self._variable:
            return True
        self._asked += 1
        return self._asked <= _PATIENCE or not self._asked % _SELDOM

    def stand(self, state: int, name: int) -> tuple[tuple[int, bytes], ...]:
        """Words that change when somebody enters another span, as they were read: (address, bytes). None of them where
        nobody in this process was seen to use the library. Raises BadAddress."""
        at = (name + 8 if name else state + self._thread) if self._thread else 0
        if not at or not self._variable:
            return ()
        access = self._access
        word = access.note(at, 8)
        (context,) = struct.unpack("<Q", word)
        if context < 4096:
            return ((at, word),)
        return (at, word), (context + _VARIABLES, access.note(context + _VARIABLES, 8))

    def of_thread(self, state: int) -> Span | None:
        """`state`: address of the thread's state. Raises BadAddress."""
        return self._of(self._access.word(state + self._thread)) if self._thread else None

    def of_task(self, name: int) -> Span | None:
        """`name`: where the task keeps its name: the context lies behind it."""
        return self._of(self._access.word(name + 8)) if self._thread else None

    def _of(self, context: int) -> Span | None:
        if not self._is(context, "Context"):
            return None  # a thread that never used one
        access = self._access
        hamt = access.word(context + _VARIABLES)
        if not self._is(hamt, "hamt"):
            return None
        value = self._find(access.word(hamt + _ROOT))
        span = access.ref(access.entry_of(value, _KEY)) if value else None
        return self._told(span) if span else None

    def _is(self, address: int, name: str) -> bool:
        return address >= 4096 and self._values.type_name(address).rpartition(".")[2] == name

    # ------------------------------------------------------------------ the trie

    def _find(self, root: int) -> int:
        """The variable's value; 0: it has none here."""
        access, waiting, seen = self._access, [root], 0
        while waiting and seen < _MOST_NODES:
            node = waiting.pop()
            seen += 1
            kind = self._values.type_name(node).rpartition(".")[2]
            if kind == "hamt_array_node":
                waiting += [c for c in access.pointers(node + _ROOT, _CHILDREN) if c]
                continue
            if kind not in ("hamt_bitmap_node", "hamt_collision_node"):
                continue
            size = access.word(node + _SIZE)
            if size > _MOST_ENTRIES or size % 2:
                raise BadAddress("no node of a trie")
            pairs = access.pointers(node + _POINTERS, size)
            for key, value in zip(pairs[::2], pairs[1::2], strict=True):
                if not key:
                    waiting.append(value)
                elif self._is_variable(key):
                    return value
        return 0

    def _is_variable(self, address: int) -> bool:
        if self._variable:
            return address == self._variable
        access = self._access
        if not self._is(address, "ContextVar") or access.text(access.word(address + _NAME), 40) != _VARIABLE:
            return False
        self._variable = address
        return True

    # ------------------------------------------------------------------ a span

    def _told(self, span: Ref) -> Span | None:
        context = span.attr("_context")
        trace, own = self._number(context.at(0)), self._number(context.at(1))
        if not 0 < trace < 1 << 128 or not 0 < own < 1 << 64:
            return None
        parent = span.attr("_parent")
        first = not parent or parent.at(2).truth()  # one of another process
        started = self._number(span.attr("_start_time")) / 1e9 if first else 0.0
        return Span(f"{trace:032x}", f"{own:016x}", started)

    def _number(self, at: Ref) -> int:
        """Of an int below 2**150; 0: none."""
        if at.type != "int":
            return 0
        o, access = self._o, self._access
        tag = struct.unpack("<q", access.note(at.address + o["long.lv_tag"], 8))[0]
        count = tag >> 3 if o.features.long_tags else tag
        if not 0 < count <= 5:
            return 0
        digits = struct.unpack(f"<{count}I", access.note(at.address + o["long.ob_digit"], 4 * count))
        return sum((digit & _DIGIT) << 30 * i for i, digit in enumerate(digits))
