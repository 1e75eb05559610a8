"""Objects that threads wait for, twice a second: their state, and whose frames refer to them.

An object is looked at when somebody waited for it at two looks in a row, so what is contended for moments costs
nothing. Frames that refer to it are found by its address, in variables, cells, globals and attributes; every such
reference is read a second time before it is told, and what changed meanwhile is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from concview.cpython.attributes import Attributes
from concview.cpython.code import Codes
from concview.cpython.locks import LockReader
from concview.cpython.positions import Positions
from concview.cpython.threads import Thread
from concview.cpython.waitables import Waitables
from concview.engines.direct.relations.finder import Finder, Found, of_target
from concview.engines.direct.relations.frames import Frames
from concview.engines.direct.thread_table import ThreadRow, ThreadTable
from concview.model import Reference, Related, Relations, Wait, WaitKind
from concview.sink import Sink
from concview.source.facts import SourceFacts
from concview.source.obligations import BY_METHOD, Obligations, Will
from concview.text import clean

LOOK_NS = 500_000_000
#: Objects in one report, the most waited-for first; threads whose frames are searched in one look; references told of
#: one object.
MAX_OBJECTS, MAX_THREADS, MAX_REFERENCES = 64, 256, 64
_FORGET_NS = 30_000_000_000
#: Waits whose object is the thread itself: who is waited for is known without a search.
_THREAD = "Thread"


class RelationReader:
    """Implements `engines.base.Look`. Costs no more than a glance where nobody waits."""

    name: str = "relations"
    every_ns: int = LOOK_NS

    def __init__(self, reader: LockReader, codes: Codes, sink: Sink, table: ThreadTable, facts: SourceFacts) -> None:
        self._sink, self._table, self._objects = sink, table, reader.objects
        self._attributes = Attributes(reader.objects)
        self._frames = Frames(reader, codes, self._attributes)
        self._finder = Finder(reader, self._attributes, self._frames)
        self._states = Waitables(reader)
        self._positions = Positions(reader.objects)
        self._obligations = Obligations(facts)
        self._before: set[int] = set()  #: objects that somebody waited for at the last look
        self._last: tuple[object, ...] | None = None
        self._turn = 0
        self._forget_at = 0

    def forget(self) -> None:
        self._attributes.forget()
        self._finder.forget()
        self._states.forget()

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        """Everything at once: what was seen of one moment belongs together. Threads have their turn where there are too
        many for one look."""
        if at_ns >= self._forget_at:
            self._forget_at = at_ns + _FORGET_NS
            self.forget()
        self._obligations.refill()
        waits: dict[int, list[tuple[ThreadRow, Wait]]] = {}
        for person in self._table.by_tid.values():
            wait = self._sink.waited(person.wait)
            if wait.kind is WaitKind.FUTEX and wait.lock and person.states:
                waits.setdefault(wait.lock, []).append((person, wait))
        self._objects_waited_for(at_ns, waits)
        return True

    def _objects_waited_for(self, now: int, waits: dict[int, list[tuple[ThreadRow, Wait]]]) -> None:
        chosen = {a: w for a, w in waits.items() if a in self._before}
        self._before = set(waits)
        more = max(0, len(chosen) - MAX_OBJECTS)
        if more:
            chosen = dict(sorted(chosen.items(), key=lambda each: -len(each[1]))[:MAX_OBJECTS])
        everyone = [p for p in self._table.by_tid.values() if p.states]
        rows: tuple[Related, ...] = ()
        searched = 0
        if chosen:
            searched_for = {a for a, w in chosen.items() if w[0][1].lock_kind != _THREAD}
            threads, searched = self._threads(chosen, everyone) if searched_for else ([], 0)
            frames = self._frames.read(threads)
            first = {person.tid for waiting in chosen.values() for person, _ in waiting}
            found = of_target(self._finder.find(searched_for, frames, first, now)) if searched_for else {}
            complete = self._finder.complete and searched == len(everyone)
            rows = tuple([self._row(a, w, found.get(a, []), complete) for a, w in chosen.items()])
        # Objects, how much was seen: what changes alone (the moment, torn reads) is no news.
        said = (rows, searched, len(everyone) if rows else 0, more)
        if said != self._last:
            self._last = said
            torn = self._finder.torn + self._frames.torn
            self._sink.emit(Relations(now, rows, searched, len(everyone), torn, more))

    def _threads(
        self, chosen: dict[int, list[tuple[ThreadRow, Wait]]], everyone: list[ThreadRow]
    ) -> tuple[list[Thread], int]:
        """Whose frames are searched: those that wait, and of the others as many as one look may take, in turn."""
        waiting = {person.tid: person for each in chosen.values() for person, _ in each}
        others = [p for p in everyone if p.tid not in waiting]
        room = max(MAX_THREADS // 2, MAX_THREADS - len(waiting))
        if len(others) > room:
            self._turn = self._turn % len(others)
            others = (others[self._turn :] + others[: self._turn])[:room]
            self._turn += room
        people = [*list(waiting.values())[: MAX_THREADS // 2], *others]
        return [t for p in people for t in p.states], len(people)

    # ------------------------------------------------------------------ one object

    def _row(self, address: int, waiting: list[tuple[ThreadRow, Wait]], found: list[Found], complete: bool) -> Related:
        waiters = tuple(sorted(person.tid for person, _ in waiting))
        kind = waiting[0][1].lock_kind
        status = self._states.read(address, kind)
        found = [f for f in found if f.variable.frame.thread.tid not in waiters or not self._in_library(f)]
        found.sort(key=lambda f: self._rank(f, waiters))
        container, owner = self._container(found, waiters)
        via = waiting[0][1].via
        references = self._references(found[:MAX_REFERENCES], via if via in BY_METHOD else kind, owner)
        name = status.name or next((r.path for r in references if r.tid in waiters and r.by != "with"), "")
        return Related(
            address, clean(kind), clean(status.type), clean(name), waiters, status.value, status.most,
            status.unfinished, self._table.by_ident.get(status.owner, 0) if status.owner else 0,
            container, clean(self._type(container)), 0, references, complete and kind != _THREAD,
            more=max(0, len(found) - MAX_REFERENCES),
        )  # fmt: skip

    def _in_library(self, found: Found) -> bool:
        return self._frames.stdlib(found.variable.frame.code.file)

    def _rank(self, found: Found, waiters: tuple[int, ...]) -> tuple[int, ...]:
        """Own code before the standard library's, waiters behind the others that may wake them, short ways first; of
        each thread the innermost frame."""
        frame = found.variable.frame
        return (
            int(self._in_library(found)),
            len(found.links) + (found.variable.by == "global") + 4 * (found.variable.by == "with"),
            frame.depth,
            int(frame.thread.tid in waiters),
            frame.thread.tid,
        )

    def _container(self, found: list[Found], waiters: tuple[int, ...]) -> tuple[int, tuple[str, str]]:
        """What the object is an attribute of, in the frames of those that wait, with (file, class) of the method of it
        that they are in."""
        best, owner = 0, ("", "")
        for each in found:
            frame = each.variable.frame
            if frame.thread.tid not in waiters or not each.links or self._frames.stdlib(frame.code.file):
                continue
            container = each.links[-1].owner
            if len(each.links) == 1 and frame.values[:1] == (container,) and "." in frame.code.qualname:
                return container, (frame.code.file, frame.code.qualname.rpartition(".")[0])
            best = best or container
        return best, owner

    def _references(self, found: Iterable[Found], kind: str, owner: tuple[str, str]) -> tuple[Reference, ...]:
        references: list[Reference] = []
        told: set[tuple[int, int, bool]] = set()
        for each in found:
            frame, place = each.variable.frame, each.place
            key = frame.thread.tid, frame.address, each.variable.by == "with"
            if key in told:
                continue  # the shortest way is enough; a `with` says more: it has been entered
            told.add(key)
            code = place.code
            columns = self._positions.of(code, place.lasti)
            will = Will()
            if each.variable.by == "with":
                block = next((w for w in place.withs if frame.start + 8 * w.slot == each.variable.reads[0][0]), None)
                if kind not in ("Condition", "Event") or each.links or each.variable.through:
                    line = block.line if block is not None else 0
                    will = Will(True, "enter", line, "exit", 0, each.variable.through, "body")
            elif not self._frames.stdlib(code.file):
                column = columns[0] if columns != (0, 0) else -1
                will = self._obligations.of(code.qualname, code.file, place.line, column, each.path, kind, owner)
            references.append(
                Reference(
                    frame.thread.tid,
                    frame.depth,
                    each.variable.by,
                    clean(each.path),
                    clean(code.qualname),
                    clean(code.file, 1000),
                    place.line,
                    columns,
                    *will,
                )
            )
        return tuple(references)

    def _type(self, address: int) -> str:
        return self._objects.type_name(address) if address else ""
