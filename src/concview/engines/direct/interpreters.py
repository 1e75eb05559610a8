"""Which interpreters there are beside the main one, who runs in them, and who has their GILs."""

from __future__ import annotations

from collections.abc import Iterable

from concview.cpython.memory import Memory
from concview.cpython.offsets import Offsets
from concview.engines.direct.frames.sampler import Sampler
from concview.engines.direct.thread_table import ThreadRow
from concview.model import InterpreterRow, Interpreters, OtherGils
from concview.sink import Sink


class InterpreterWatch:
    """Tells the stream of them. Free of cost while there is but one."""

    def __init__(self, memory: Memory, o: Offsets, sink: Sink, sampler: Sampler) -> None:
        self._memory, self._o, self._sink, self._sampler = memory, o, sink, sampler
        self._ids: dict[int, int] = {}  #: address -> id
        self._rows: tuple[InterpreterRow, ...] = ()  #: as told last
        self._states: tuple[int, ...] = ()
        self.moved = True  #: somebody came, went, or goes into or out of an interpreter

    @property
    def idle(self) -> bool:
        return not self._rows and len(self._sampler.interpreters) < 2

    def renew(self) -> None:
        """Tell everything again."""
        self._rows, self._states, self.moved = (), (), True

    def tick(self, at_ns: int, threads: Iterable[ThreadRow]) -> None:
        """To be called before the sink's own, with the threads as they are now."""
        sampler = self._sampler
        if self.moved:
            self.moved = False
            self._tell(at_ns, threads)
        states: list[int] = []
        for address, holder, switches in sampler.other_gils:
            if address in self._ids:
                states += self._ids[address], sampler.tid_of(holder), switches
        if (told := tuple(states)) != self._states:
            self._states = told
            self._sink.emit(OtherGils(at_ns, told))

    def _tell(self, at_ns: int, threads: Iterable[ThreadRow]) -> None:
        interpreters = self._sampler.interpreters
        at = self._o["is.id"]
        read = self._memory.read_many([(i.address + at, 8) for i in interpreters])
        # One that cannot be read has just ended.
        self._ids = {i.address: int.from_bytes(b, "little") for i, b in zip(interpreters, read, strict=True) if b}
        interpreters = [i for i in interpreters if i.address in self._ids]
        own = {i.gil: self._ids[i.address] for i in interpreters}  # the main one is last: what is shared is its
        inside: dict[int, list[int]] = {}
        for row in threads:
            if row.states:
                inside.setdefault(row.interpreter, []).append(row.tid)
        rows = tuple(
            InterpreterRow(self._ids[i.address], own[i.gil], tuple(sorted(inside.get(i.address, ()))) if i.next else ())
            for i in reversed(interpreters)
            if i.gil
        )
        if rows != self._rows:
            self._rows = rows
            self._sink.emit(Interpreters(at_ns, rows))
