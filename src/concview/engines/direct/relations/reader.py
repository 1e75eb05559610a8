"""Objects that threads wait for: their state, and whose frames refer to them.

Who waits is looked at four times a second. An object is searched for when somebody waited for it at two looks in a row,
so what is contended for moments costs nothing; only the first look takes all that is waited for. Frames that refer to
one are found by its address, in variables, cells, globals and attributes; each such reference is read a second time
before it is told, and what changed meanwhile is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from concview.cpython.positions import Positions
from concview.engines.direct.relations.finder import Found, of_target
from concview.engines.direct.relations.search import LOOK_NS, Pace, Search, Waiting, Waits
from concview.engines.direct.thread_table import ThreadRow
from concview.model import Reference, Related, Relations, Wait
from concview.source.obligations import BY_METHOD, Will
from concview.text import clean

#: Objects in one report, the most waited-for first; references told of one object.
MAX_OBJECTS, MAX_REFERENCES = 64, 64
#: Waits whose object is the thread itself: who is waited for is known without a search.
_THREAD = "Thread"


class RelationReader:
    """Implements `engines.base.Look`. Costs no more than a glance where nobody waits."""

    name: str = "relations"
    every_ns: int = LOOK_NS

    def __init__(self, search: Search, ran: Callable[[], int]) -> None:
        self._ran = ran
        #: When everything that is waited for was looked at, in full: nothing of it changes while nobody runs.
        self._whole_ns = 0
        self._search, self._sink, self._table = search, search.sink, search.table
        self._frames, self._finder, self._obligations = search.frames, search.finder, search.obligations
        self._objects = search.reader.objects
        self._states = search.states
        self._positions = Positions(self._objects)
        self._before: Waits | None = None  #: at the last look
        self._pace = Pace()
        self._last: tuple[object, ...] | None = None

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        """Everything at once: what was seen of one moment belongs together. Threads have their turn where there are too
        many for one look."""
        if self._whole_ns and self._ran() <= self._whole_ns:
            return True
        waits = self._search.waits(at_ns)
        chosen = waits.both(self._before).objects
        self._before = waits
        if not self._pace.due(at_ns, chosen):
            return True
        more = max(0, len(chosen) - MAX_OBJECTS)
        if more:
            chosen = dict(sorted(chosen.items(), key=lambda each: -len(each[1]))[:MAX_OBJECTS])
        tids = {row.tid for waiting in chosen.values() for row, _ in waiting}
        # A thread is known by its number: to wait for one needs no search.
        sought = any(w[0][1].lock_kind != _THREAD for w in chosen.values())
        searched, of = self._search.begin(at_ns, tids, tasks=True) if sought else (0, len(self._search.everyone()))
        complete = self._report(at_ns, chosen, searched, of, more)
        self._whole_ns = at_ns if complete and not more and len(chosen) == len(waits.objects) else 0
        return True

    def _report(self, now: int, chosen: Waiting, searched: int, of: int, more: int) -> bool:
        """Whether all was seen that there is to see."""
        targets = {a for a, w in chosen.items() if w[0][1].lock_kind != _THREAD}
        before = self._finder.torn
        found = of_target(self._finder.find(targets)) if targets else {}
        complete = self._finder.complete and self._frames.whole and self._finder.torn == before and searched == of
        rows = tuple([self._row(a, w, found.get(a, []), complete) for a, w in chosen.items()])
        # Objects, how much was seen: what changes alone (the moment, torn reads) is no news.
        said = (rows, searched if rows else 0, of if rows else 0, more)
        if said != self._last:
            self._last = said
            torn = self._finder.torn + self._frames.torn
            self._sink.emit(Relations(now, rows, searched if rows else 0, of, torn, more))
        return complete

    # ------------------------------------------------------------------ one object

    def _row(self, address: int, waiting: list[tuple[ThreadRow, Wait]], found: list[Found], complete: bool) -> Related:
        waiters = tuple(sorted(row.tid for row, _ in waiting))
        kind = waiting[0][1].lock_kind
        status = self._states.read(address, kind)
        found = [f for f in found if f.variable.frame.thread.tid not in waiters or not self._in_library(f)]
        found.sort(key=lambda f: self._rank(f, waiters))
        container, owner = self._container(found, waiters)
        via = waiting[0][1].via
        references = self._references(found[:MAX_REFERENCES], via if via in BY_METHOD else kind, owner)
        own = (f.path for f in found if f.variable.frame.thread.tid in waiters and f.variable.by != "with")
        name = status.name or next(own, "")
        return Related(
            address,
            clean(kind),
            clean(status.type),
            clean(name),
            waiters,
            status.value,
            status.most,
            status.unfinished,
            self._table.by_ident.get(status.owner, 0) if status.owner else 0,
            container,
            clean(self._type(container)),
            0,
            references,
            complete and kind != _THREAD,
            lent=status.most - status.value if kind == "Semaphore" and 0 <= status.value <= status.most else -1,
            more=max(0, len(found) - MAX_REFERENCES),
        )

    def _in_library(self, found: Found) -> bool:
        return self._frames.stdlib(found.variable.frame.code.file)

    def _rank(self, found: Found, waiters: tuple[int, ...]) -> tuple[int, ...]:
        """Own code before the standard library's, those that may wake the others before those that wait, short ways
        first; of each thread the innermost frame."""
        frame = found.variable.frame
        return (
            int(self._in_library(found)),
            int(frame.thread.tid in waiters),
            len(found.links) + (found.variable.by == "global") + 4 * (found.variable.by == "with"),
            frame.depth,
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
        told: dict[tuple[int, int, bool], int] = {}  #: -> which of the references
        for each in found:
            frame, place = each.variable.frame, each.place
            key = frame.thread.tid, frame.address, each.variable.by == "with"
            at = told.get(key, -1)
            if at >= 0 and (references[at].will or references[at].past or each.variable.by == "with"):
                continue  # one name is enough; a `with` says more: it has been entered
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
            one = Reference(
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
            if at < 0:
                told[key] = len(references)
                references.append(one)
            elif will.will or will.past:
                references[at] = one  # the same by another name, by which something is done with it
        return tuple(references)

    def _type(self, address: int) -> str:
        return self._objects.type_name(address) if address else ""
