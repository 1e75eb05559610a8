"""What threads of a multiprocessing.Manager's process were asked for last, by which connection.

The server notes nowhere to whom it has given a lock. But each of its threads serves one connection, and has the last
request in its variables (`Server.serve_client`, 3.8 to 3.15) until the next one has come.
"""

# ruff: noqa: PTH115 - names under /proc stay text

from __future__ import annotations

import os
import struct

from concview.cpython.memory import BadAddress
from concview.cpython.walk import Walk
from concview.engines.direct.relations.search import Search
from concview.model import Loan, Loans
from concview.source.origin import is_module
from concview.text import clean

EVERY_NS = 1_000_000_000
#: Threads that are read; frames from the outermost one on in which a thread that serves is known by.
MAX_LOANS, _FRAMES = 256, 10
_FILE, _SERVES = "multiprocessing/managers.py", "serve_client"
_RECEIVES = "multiprocessing/connection.py"
#: Variables of it that are read: those of one frame, at most.
_VARIABLES = 32


class LoanReader:
    """`report` at any rate."""

    def __init__(self, search: Search) -> None:
        self._search, self._pid = search, search.reader.memory.pid
        self._due_ns = 0
        self._slots: dict[int, dict[str, int]] = {}  #: code -> names of its variables
        self._last: tuple[tuple[Loan, ...], bool] = ((), True)

    def report(self, now: int) -> None:
        if now < self._due_ns:
            return
        self._due_ns = now + EVERY_NS
        loans: list[Loan] = []
        complete = True
        for row in self._search.everyone():
            for thread in row.states:
                at = _serving(thread.walk)
                if at < 0:
                    continue
                if len(loans) >= MAX_LOANS:
                    complete = False
                    break
                try:
                    loan = self._loan(row.tid, thread.walk, at)
                except (BadAddress, struct.error, OSError, ValueError):
                    complete = False
                    continue
                if loan is not None:
                    loans.append(loan)
        said = (tuple(loans), complete)
        if said != self._last:
            self._last = said
            self._search.sink.emit(Loans(now, *said))

    def _loan(self, tid: int, walk: Walk, at: int) -> Loan | None:
        """None: it was not asked for anything yet."""
        search = self._search
        objects, offsets = search.reader.objects, search.reader.offsets
        place, address = walk.places[at], walk.addresses[at]
        names = self._slots.get(place.code.address)
        if names is None:
            count = min(place.code.nlocalsplus, _VARIABLES)
            names = self._slots[place.code.address] = {place.code.variable(objects, i): i for i in range(count)}
        values = {
            name: search.reader.memory.word(address + offsets["f.localsplus"] + 8 * names[name]) & offsets.tag_mask
            for name in ("conn", "request", "res")
            if name in names
        }
        request = values.get("request", 0)
        number = search.handles.number(values.get("conn", 0))
        if not request or number < 0:
            return None
        items = objects.tuple_items(request, 4)
        asked, method = (objects.string(item, 80) for item in items[:2])
        inode = int(os.readlink(f"/proc/{self._pid}/fd/{number}").partition("[")[2].rstrip("]"))
        inner = walk.places[at - 1].code if at else None
        answered = inner is not None and is_module(inner.file, _RECEIVES)
        given = answered and bool(res := values.get("res", 0)) and objects.type_name(res) == "bool"
        if given:
            given = objects.integers([res]) == [1]
        # Once more: what was read belongs together only where it did not go on meanwhile.
        now = search.reader.memory.word(address + offsets["f.localsplus"] + 8 * names["request"]) & offsets.tag_mask
        if now != request:
            raise BadAddress("it has gone on")
        return Loan(tid, inode, int(asked, 16), clean(method), answered, given)


def _serving(walk: Walk) -> int:
    """Which frame of a stack serves a client; -1."""
    first = max(0, len(walk.places) - _FRAMES)
    for at in range(len(walk.places) - 1, first - 1, -1):
        code = walk.places[at].code
        if code.name == _SERVES and is_module(code.file, _FILE):
            return at
    return -1
