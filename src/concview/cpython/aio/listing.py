"""Where the tasks of a process are listed, and which run now.

Up to 3.13 module `_asyncio` keeps weak references to all tasks in a set, eager ones (3.12 and newer) in another, and
the running one of each loop in a dict. From 3.14 on tasks are linked in lists, one for each thread, and a thread's
state names its running loop and task; sets remain for tasks that are not asyncio's own type.
"""

from __future__ import annotations

import contextlib
import struct
import time
from array import array
from collections.abc import Collection, Container, Iterable

from concview.cpython.aio.debug_section import DebugOffsets, find
from concview.cpython.aio.values import BAD, Values
from concview.cpython.memory import BadAddress
from concview.cpython.thread_names import Modules
from concview.cpython.threads import Interpreter, Thread

#: Tasks known at once, at most: memory of ours, and time, are bounded by it.
MAX_TASKS = 120_000
#: Dead nodes of a list that is torn must not be followed for ever.
_MAX_NEW = 120_000
#: Looking through sets that takes longer than this (nanoseconds) is followed by a pause so many times as long.
_CHEAP_NS, _PAUSE = 1_000_000, 50

_WORD = struct.Struct("<Q").unpack_from


class _Interpreter:
    """One interpreter that has imported asyncio."""

    __slots__ = ("address", "current", "due_ns", "eager", "references", "sets", "tables")

    def __init__(self, address: int) -> None:
        self.address = address
        self.sets: list[int] = []  #: addresses of the sets of weak references
        self.due_ns = 0  #: no look at its sets before: large ones are dear
        self.eager = 0
        self.current = 0  #: the dict of running tasks
        self.tables: dict[int, bytes] = {}  #: set -> its raw table when last looked at
        self.references: dict[int, set[tuple[int, int]]] = {}


class Listing:
    """`look_for` now and then; `fresh` and `running` at every look."""

    def __init__(self, values: Values) -> None:
        self._values, self._memory, self._o = values, values.memory, values.o
        self._modules = Modules(values.memory, values.o, values.objects)
        self._debug: DebugOffsets | None = None
        self._interpreters: dict[int, _Interpreter] = {}
        self.linked = values.o.features.linked_tasks
        self.problem = ""  #: why tasks cannot be listed
        self.unseen: tuple[str, ...] = ()  #: kinds of tasks that are there and not read, a sentence each
        self.greenlets = ""  #: what runs greenlets: 'gevent' or 'eventlet'
        self._whole = True  #: the lists are to be walked from one end to the other
        self._imported: dict[int, tuple[int, int]] = {}
        self._looked: set[int] = set()
        self._threads: list[Thread] = []  #: whose states `_segments` are of
        self._segments = array("Q")

    @property
    def any(self) -> bool:
        """Whether an interpreter has imported asyncio."""
        return bool(self._interpreters)

    def look_for(self, interpreters: Iterable[Interpreter]) -> None:
        """Find asyncio in interpreters where it was not imported yet."""
        there = set()
        for interpreter in interpreters:
            there.add(interpreter.address)
            with contextlib.suppress(*BAD):
                if not self._grown(interpreter.address):
                    continue
                if interpreter.address not in self._interpreters:
                    found = self._find(interpreter.address)
                    if found is not None:
                        self._interpreters[interpreter.address] = found
                self._others(interpreter.address)
        for address in self._interpreters.keys() - there:
            del self._interpreters[address]
        if self.linked and self._interpreters and self._debug is None:
            self._debug = find(self._memory)
            self.problem = "" if self._debug else "asyncio's C module does not say where its lists of tasks are"

    def _grown(self, interpreter: int) -> bool:
        """Whether sys.modules has another number of modules than when it was last looked through: that is dear."""
        modules = self._memory.word(interpreter + self._o["is.imports_modules"])
        used = self._memory.word(modules + self._o.header) if modules else 0
        if self._imported.get(interpreter) == (modules, used):
            return False
        self._imported[interpreter] = modules, used
        return True

    def _others(self, interpreter: int) -> None:
        """What runs tasks of its own that are not read here."""
        if self._modules.dict_of(interpreter, "gevent.hub"):
            self.greenlets = "gevent"
        elif self._modules.dict_of(interpreter, "eventlet.hubs"):
            self.greenlets = "eventlet"
        namespace = self._modules.dict_of(interpreter, "asyncio.tasks")
        if namespace and interpreter not in self._looked:
            self._looked.add(interpreter)
            task = self._values.objects.lookup(namespace, "Task")
            if task and self._values.name_of(task) != "_asyncio.Task":
                self._say("tasks of asyncio's class in pure Python are not read: it keeps them elsewhere")

    def _say(self, sentence: str) -> None:
        if sentence not in self.unseen:
            self.unseen = (*self.unseen, sentence)

    def _find(self, interpreter: int) -> _Interpreter | None:
        found = _Interpreter(interpreter)
        modules = [self._modules.dict_of(interpreter, name) for name in ("_asyncio", "asyncio.tasks")]
        if not modules[1]:
            return None
        for namespace in filter(None, modules):
            items = self._values.objects.items_by_name(namespace)
            for name in ("_all_tasks", "_scheduled_tasks"):
                value = items.get(name, 0)
                data = self._values.attribute(value, "data") if self._values.type_name(value) == "WeakSet" else 0
                if data and data not in found.sets:
                    found.sets.append(data)
            if not found.eager and self._values.type_name(items.get("_eager_tasks", 0)) == "set":
                found.eager = items["_eager_tasks"]
            if not found.current and self._values.type_name(items.get("_current_tasks", 0)) == "dict":
                found.current = items["_current_tasks"]
        return found

    # ------------------------------------------------------------------ running

    def running(self, threads: list[Thread]) -> tuple[dict[int, int], dict[int, int]]:
        """({running task: tid, or 0 where its loop must tell}, {running loop: tid}). Torn reads give fewer."""
        tasks: dict[int, int] = {}
        loops: dict[int, int] = {}
        debug = self._debug
        if debug is not None:
            low, high = sorted((debug.thread_loop, debug.thread_task))
            size = high - low + 8
            if threads is not self._threads or len(self._segments) != 2 * len(threads):
                self._threads = threads
                self._segments = array("Q", [n for t in threads for n in (t.address + low, size)])
            data = self._memory.read_joined(self._segments, size * len(threads)) if threads else b""
            if data is None:
                parts = self._memory.read_many([(t.address + low, size) for t in threads])
                data = b"".join([part if part is not None else bytes(size) for part in parts])
            at = -size
            for thread in threads:
                at += size
                loop, task = _WORD(data, at + debug.thread_loop - low)[0], _WORD(data, at + debug.thread_task - low)[0]
                if task:
                    tasks[task] = thread.tid
                if loop > 1 and thread.tid:
                    loops[loop & ~1] = thread.tid
        elif not self.linked:
            for interpreter in self._interpreters.values():
                if interpreter.current:
                    with contextlib.suppress(*BAD):  # it changes with every step
                        for _, task in self._values.objects.items(interpreter.current)[:1024]:
                            tasks[task] = 0
        return tasks, loops

    # ------------------------------------------------------------------ new ones

    def fresh(self, known: Collection[int], skipped: Container[int], threads: list[Thread]) -> list[tuple[int, int]]:
        """(task, its interpreter) of tasks that may be new: neither `known` nor `skipped` (listed, and none alive).
        What is torn comes with the next look; an address may be none of a task: the caller asks for its type."""
        found: dict[int, int] = {}
        whole, self._whole = self._whole, False
        for interpreter in self._interpreters.values():
            with contextlib.suppress(*BAD):
                self._from_sets(interpreter, known, found)
            debug = self._debug
            if debug is not None:
                heads = [interpreter.address + debug.interpreter_tasks]
                heads += [t.address + debug.thread_tasks for t in threads if t.interpreter == interpreter.address]
                ends = self._memory.read_many([(h, 16) for h in heads])
                links = self._links(known, debug.node) if whole else {}
                for head, end in zip(heads, ends, strict=True):
                    if end is not None and whole:
                        self._forwards(head, _WORD(end)[0], debug.node, links, known, found, interpreter.address)
                    elif end is not None:
                        self._backwards(head, _WORD(end, 8)[0], debug.node, known, skipped, found, interpreter.address)
            if len(found) >= _MAX_NEW:
                break
        return [(task, at) for task, at in found.items() if task not in skipped]

    def _backwards(
        self,
        head: int,
        node: int,
        link: int,
        known: Container[int],
        skipped: Container[int],
        found: dict[int, int],
        interpreter: int,
    ) -> None:
        """Tasks are added at the end: from there back to the first known one."""
        memory = self._memory
        while node and node != head and len(found) < _MAX_NEW:
            task = node - link
            if task in known or (task in found and task not in skipped):
                return
            found[task] = interpreter
            try:
                node = memory.word(node + 8)
            except BadAddress:
                self._whole = True  # it ended under our eyes: what lies before it was not reached
                return

    def _links(self, known: Collection[int], link: int) -> dict[int, int]:
        """Task -> the link behind its own, of all that are known, in few calls."""
        every = list(known)
        parts = self._memory.read_many([(task + link, 8) for task in every])
        return {task: _WORD(part)[0] for task, part in zip(every, parts, strict=True) if part is not None}

    def _forwards(
        self,
        head: int,
        node: int,
        link: int,
        links: dict[int, int],
        known: Container[int],
        found: dict[int, int],
        interpreter: int,
    ) -> None:
        """The whole list, oldest first: those that stay come before those that come and go."""
        memory = self._memory
        for _ in range(_MAX_NEW):
            if not node or node == head:
                return
            task = node - link
            if task not in known:
                if task in found:
                    return  # a circle: torn
                found[task] = interpreter
            following = links.get(task)
            try:
                node = following if following is not None else memory.word(node)
            except BadAddress:
                return

    def _from_sets(self, interpreter: _Interpreter, known: Container[int], found: dict[int, int]) -> None:
        values = self._values
        began = time.monotonic_ns()
        if began < interpreter.due_ns:
            return
        for data in interpreter.sets:
            raw = values.set_table(data)
            if raw == interpreter.tables.get(data):
                continue
            interpreter.tables[data] = raw
            # A reference's address is used again, too; its hash is that of the task's address.
            words = memoryview(raw).cast("Q")
            now = set(zip(words[::2], words[1::2], strict=True))
            new = [r for r, _ in list(now - interpreter.references.get(data, set()))[:_MAX_NEW] if r]
            interpreter.references[data] = now
            at = self._o["weakref.wr_object"]
            for part in self._memory.read_many([(r + at, 8) if r > 4096 else (0, 8) for r in new]):
                task = _WORD(part)[0] if part is not None else 0
                if task > 4096 and task not in known:
                    found[task] = interpreter.address
        if interpreter.eager:
            for task in values.set_items(interpreter.eager):
                if task not in known:
                    found[task] = interpreter.address
        ended = time.monotonic_ns()
        interpreter.due_ns = ended + _PAUSE * (ended - began) if ended - began > _CHEAP_NS else 0

    def forget_tables(self) -> None:
        """Look through all of the sets again with the next look: a weak reference's address may have been used anew."""
        self._whole = True
        for interpreter in self._interpreters.values():
            interpreter.tables.clear()
            interpreter.references.clear()
