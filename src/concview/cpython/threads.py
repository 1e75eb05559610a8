"""The lists of interpreters and thread states, read when they changed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from concview.cpython.memory import Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.walk import Walk

#: Bounds of what a hostile or torn list can make us do.
MAX_THREADS = 20_000
MAX_INTERPRETERS = 1000

_WORD = struct.Struct("<Q").unpack_from


class Thread:
    """One Python thread state: where its stack is expected to be, and what was last seen of it."""

    __slots__ = (
        "address", "again", "at_again", "at_chunk", "at_frame", "at_outs", "cframes", "chunk", "end", "ident",
        "interpreter", "layout", "length", "link", "native", "next", "objects", "outs", "peak", "segment", "start",
        "tid", "walk", "which",
    )  # fmt: skip

    def __init__(self, address: int, interpreter: int, after: int) -> None:
        self.address = address
        self.interpreter = interpreter
        self.next = after  #: the thread state behind it in the list
        self.tid = 0  #: kernel's thread id; 0 until the thread has bound its state
        self.native = 0  #: the same as the process's own PID namespace numbers it (from 3.11 on)
        self.ident = 0  #: threading.get_ident()
        self.walk = Walk()
        self.segment: bytes | None = None  #: what was last copied of it; None: look again
        self.again = False  #: look again when it has run, though nothing that is copied has changed
        self.layout: tuple[object, ...] | None = None  #: what `segment` consists of
        self.forget_prediction()
        self.peak = 0  #: longest stack seen lately, bytes in the current chunk
        #: offsets into the copy
        self.link = 0  #: the same of the list link, from the thread's own begin
        self.start = self.at_frame = self.at_chunk = self.at_outs = self.at_again = self.end = 0

    def forget_prediction(self) -> None:
        """Something that was to be copied with it is gone."""
        #: 3.11, 3.12: addresses of the pointer to the innermost frame, latest first; a call from C has one of its own
        self.cframes: tuple[int, ...] = ()
        self.which = 0  #: the one in use
        self.chunk = self.length = 0  #: place and size of the current stack chunk
        self.outs: tuple[int, ...] = ()  #: frames outside the chunks
        #: (address, bytes) of objects on its stack that do not stay (exit methods of `with`), when last looked at
        self.objects: list[tuple[int, bytes | None]] = []


@dataclass(slots=True)
class Interpreter:
    address: int
    gil: int  #: address of its GIL struct: may be another interpreter's; 0 while it is being made
    collecting: int  #: address of the flag that its garbage collector runs; the runtime's in 3.8
    next: int  #: the next older interpreter
    head: int  #: newest thread state


def read_lists(
    memory: Memory,
    runtime: Runtime,
    o: Offsets,
    known: dict[int, Thread],
    make: type[Thread] = Thread,
) -> tuple[list[Interpreter], list[Thread]]:
    """All interpreters, newest first, and their threads; `Thread` objects of threads that stay are kept.

    Raises BadAddress when a list changes under the read.
    """
    interpreters: list[Interpreter] = []
    threads: list[Thread] = []
    address, seen = memory.word(runtime.address + o["rt.interpreters_head"]), set[int]()
    while address and address not in seen and len(interpreters) < MAX_INTERPRETERS:
        seen.add(address)
        if "rt.gil" in o.values:
            gil = runtime.address + o["rt.gil"]
        else:
            gil = memory.word(address + o["is.ceval_gil"])
        if "rt.collecting" in o.values:
            collecting = runtime.address + o["rt.collecting"]
        else:
            collecting = address + o["is.gc"] + o["gc.collecting"]
        following, head = memory.word(address + o["is.next"]), memory.word(address + o["is.threads_head"])
        interpreter = Interpreter(address, gil, collecting, following, head)
        interpreters.append(interpreter)
        threads += _threads(memory, o, interpreter, known, seen, MAX_THREADS - len(threads), make)
        address = interpreter.next
    return interpreters, threads


def _threads(
    memory: Memory,
    o: Offsets,
    interpreter: Interpreter,
    known: dict[int, Thread],
    seen: set[int],
    most: int,
    make: type[Thread],
) -> list[Thread]:
    threads: list[Thread] = []
    address, at = interpreter.head, o["ts.next"]
    # Most threads stay: their links are read in one go, only those of new ones one by one.
    old = [t.address for t in known.values() if t.interpreter == interpreter.address]
    links = dict(zip(old, memory.read_many([(a + at, 8) for a in old]), strict=True))
    while address and address not in seen and len(threads) < most:
        seen.add(address)
        link = links.get(address)
        after = _WORD(link)[0] if link is not None else memory.word(address + at)
        thread = known.get(address)
        if thread is None or thread.interpreter != interpreter.address:
            thread = make(address, interpreter.address, after)
        thread.next = after
        threads.append(thread)
        address = after
    return threads
