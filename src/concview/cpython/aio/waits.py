"""What a task waits for: decided by the innermost frames of its await chain, then by the future that it awaits."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field

from concview.cpython.aio import message_sockets, roles
from concview.cpython.aio.chain import Chain, Chains, Link
from concview.cpython.aio.layout import PENDING
from concview.cpython.aio.roles import Role
from concview.cpython.aio.transports import Transports
from concview.cpython.aio.values import BAD, Values
from concview.cpython.code import Code, Codes
from concview.model import MESSAGES, SIGNAL_VIA, Peer, TaskState

#: Of a chain's frames, innermost first, are asked for a role.
_MAX_LINKS = 24
#: Tasks that one waits for, at most.
_MAX_AWAITED = 10_000
TASK, FUTURE = "_asyncio.Task", "_asyncio.Future"
#: First callbacks of futures, and the closure's variable that is asked for. `_chain_future` of asyncio/futures.py adds
#: the first to a future that stands for one of `concurrent.futures`, the second to one whose result it passes on to
#: such a one; `shield` of asyncio/tasks.py the third to what it returns. The last is what run_coroutine_threadsafe of
#: asyncio/tasks.py has a loop call.
_CHAINED, _PASSED_ON, _SHIELDED, _GIVEN = (
    ("_call_check_cancel", "source"),
    ("_call_set_state", "destination"),
    ("_outer_done_callback", "inner"),
    ("callback", "future"),
)
#: What stands in a ready queue; 3.14 has the second for callbacks from other threads.
_HANDLES = frozenset({"Handle", "_ThreadSafeHandle"})
#: Callbacks of one future, and functions behind them, that are looked at.
_MOST_CALLBACKS, _MOST_FUNCTIONS = 8, 24
#: Futures that stand for one another.
_MOST_STEPS = 4
#: Queues of which it is known what fills them.
_MOST_QUEUES = 4_096
#: Callbacks of a ready queue that are looked at.
_MOST_READY = 64
#: uvloop's sock_recv and the like: there is no frame.
_SOCKET_FUTURES = ("_SyncSocketReaderFuture", "_SyncSocketWriterFuture")

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from


@dataclass(slots=True)
class Waiting:
    """What one task waits for."""

    state: TaskState = TaskState.UNKNOWN
    via: str = ""
    object: int = 0
    kind: str = ""
    library: str = ""
    peer: Peer | None = None
    awaited: list[int] = field(default_factory=list)  #: addresses of tasks
    total: int = 0  #: how many it waits for
    due_s: float = 0.0  #: CLOCK_MONOTONIC; 0: not a sleep, or not known
    began_s: float = 0.0  #: when the sleep began; 0 not known
    call: int = 0  #: the future of `concurrent.futures` that it waits for
    queued: bool = False
    thread: int = 0  #: tid of the thread that runs that call, or will set what it waits for; 0 not known (yet)
    #: Asking again without a new wait may have another answer: children end, workers take calls up.
    changes: bool = False
    #: Where what was concluded from lies: (link, slot); the same object there means the same answer.
    subject: tuple[Link, int] | None = None


#: Methods that wait until a transport takes more.
_DRAINS = re.compile("_*drain(_|$)")


class _Known:
    """What the functions of one code object mean."""

    __slots__ = ("code", "connects", "helps", "library", "primitive")

    def __init__(self, code: Code) -> None:
        self.code = code
        self.primitive = roles.find(roles.PRIMITIVES, code.file, code.qualname)
        self.library = roles.find(roles.LIBRARIES, code.file, code.qualname)
        self.helps = roles.helps(code.file, code.qualname)
        self.connects: bool | None = None  #: it asks a loop to make a connection; None not looked at yet


class Waits:
    def __init__(self, values: Values, chains: Chains, codes: Codes, transports: Transports) -> None:
        self._values, self._chains, self._codes, self._transports = values, chains, codes, transports
        self._memory, self._o = values.memory, values.o
        self._known: dict[int, _Known] = {}
        #: (queue, code of the outermost frame) -> the protocol that fills it; 0: none does
        self._fed: dict[tuple[int, int], int] = {}
        self._state = values.layout.state

    def forget(self) -> None:
        self._known.clear()
        self._fed.clear()

    def meaning(self, code: Code) -> _Known:
        known = self._known.get(code.address)
        if known is None or known.code is not code:
            if len(self._known) >= 8192:
                self._known.clear()
            known = self._known[code.address] = _Known(code)
        return known

    # ------------------------------------------------------------------ one task

    def of(self, chain: Chain, future: int, head: bytes | None) -> Waiting:
        """`future`: what the task says that it waits for (0 none); `head`: the first bytes of it."""
        if not future or head is None:
            created = bool(chain.links) and chain.links[0].created
            return Waiting(TaskState.READY, "not started" if created else "")
        if _INT(head, self._state)[0] != PENDING:
            return Waiting(TaskState.READY)
        kind = self._values.name_of(_WORD(head, self._o["ob.type"])[0])
        task = self._is_task(head)
        apart = task and self._apart(chain) is not None
        found = None if (task and not apart) or kind == "_GatheringFuture" else self._library(chain)
        if found is None:
            found = self._primitive(chain, task)
        if found is not None and found.via in SIGNAL_VIA:
            found = self._drains(chain) or found
        if found is None:
            found = self._future(chain, future, head, kind, task)
        elif found.state is TaskState.QUEUE and found.via == "Queue.get":
            peer = self._filled_by(chain, found.object)
            if peer is not None:
                return Waiting(TaskState.IO, found.via, peer=peer)
        return found

    def _filled_by(self, chain: Chain, queue: int) -> Peer | None:
        """A queue into which a protocol puts what it receives is no queue for work: its reader waits for the peer."""
        key = queue, chain.links[0].place.code.address
        protocol = self._fed.get(key, -1)
        if protocol == 0:
            return None
        peer = self._transports.feeds(protocol, queue) if protocol > 0 else None
        if peer is None:  # not looked at yet; or another queue lies where that one lay
            if len(self._fed) >= _MOST_QUEUES:
                self._fed.clear()
            protocol = self._fed[key] = self._transports.feeder(chain.links, queue)
            peer = self._transports.feeds(protocol, queue) if protocol else None
        return peer

    def _is_task(self, head: bytes) -> bool:
        return self._values.derives(_WORD(head, self._o["ob.type"])[0], TASK)

    def _library(self, chain: Chain) -> Waiting | None:
        """The outermost role among the frames that, up to the future, do nothing but wait."""
        links, inner = chain.links, set[str]()
        apart = self._apart(chain)
        if apart is not None:
            inner.add(apart.place.code.qualname)
        best: Waiting | None = None
        for i in range(len(links) - 1, max(-1, len(links) - 1 - _MAX_LINKS), -1):
            link = links[i]
            known = self.meaning(link.place.code)
            role = known.library
            if role is not None and (not role.inner or role.inner in inner) and not (role.direct and inner):
                best = self._of_role(chain, i, role) or best
            if not known.helps and (role is None or not role.owner):
                break
            inner.add(link.place.code.qualname)
        return best

    def _apart(self, chain: Chain) -> Link | None:
        """The outermost frame of the task that `wait_for` made of what it waits for, up to 3.11."""
        last = chain.links[-1] if chain.links else None
        if self._o.features.wait_for_inline or last is None or last.place.code.qualname != "wait_for":
            return None
        task = self._chains.local(last, "fut")
        if not self._values.is_a(task, TASK):
            return None
        try:
            return self._chains.frame(self._memory.word(task + self._values.layout.coroutine))
        except BAD:
            return None

    def _primitive(self, chain: Chain, task: bool) -> Waiting | None:
        """The outermost as well: Queue.join waits in Event.wait. But a condition's lock is waited for after `wait`."""
        links = chain.links
        best: Waiting | None = None
        for i in range(len(links) - 1, max(-1, len(links) - 1 - _MAX_LINKS), -1):
            known = self.meaning(links[i].place.code)
            role = known.primitive
            if role is not None and not (task and role.state is not TaskState.TASK):
                best = self._of_role(chain, i, role) or best
                if role.via == "Lock.acquire":
                    break
            if not known.helps and role is None:
                break
        return best

    def _drains(self, chain: Chain) -> Waiting | None:
        """A server whose transport tells by an event that it takes more (uvicorn) waits for its peer, as who waits in
        `StreamWriter.drain` does. None where it is no such wait."""
        for link in reversed(chain.links[-_MAX_LINKS:]):
            code = link.place.code
            known = self.meaning(code)
            if known.helps or known.primitive is not None:
                continue
            owner = self._chains.local(link, "self") if _DRAINS.match(code.name) else 0
            peer = self._transports.of(owner) if owner else None
            return Waiting(TaskState.IO, code.qualname, peer=peer) if peer is not None else None
        return None

    def _of_role(self, chain: Chain, at: int, role: Role) -> Waiting | None:
        """None where the object that the role speaks of is not there."""
        link, values = chain.links[at], self._values
        found = Waiting(role.state, role.via, library=role.library)
        if role.owner:
            at = next((i for i in range(at - 1, -1, -1) if chain.links[i].place.code.qualname == role.owner), -1)
            if at < 0:
                return None
            link = chain.links[at]
        if role.subject:
            found.object = self._chains.local(link, role.subject)
            if not found.object:
                return None
            found.subject = link, self._chains.slot_of(link, role.subject)
            found.kind = role.kind or values.type_name(found.object).rpartition(".")[2]
        if role.library == "anyio" and "_state" in (ends := values.attributes(found.object)):
            found.object = ends["_state"]  # both ends of a stream have it
        if role.library == "sqlalchemy":
            found.object = self._sqlalchemy(chain, found.object)
            if not found.object:
                return None
        if role.state is TaskState.SLEEP:
            self._sleep(link, found)
        elif role.state is TaskState.TASK:
            self._members(link, role, found)
        elif role.state is TaskState.IO:
            found.peer = self._transports.of(found.object) if found.object else None
            if found.peer is None:
                found.peer = self._transports.of_chain(chain.links)
            found.object, found.kind = 0, ""
        elif role.state is TaskState.IDLE:
            found.object, found.kind = 0, ""
        elif role.state is TaskState.EXECUTOR:
            found.call, found.object, found.kind, found.changes = found.object, 0, "", True
        return found

    def _sleep(self, link: Link, found: Waiting) -> None:
        handle = self._chains.local(link, "h")
        delay = self._values.number(self._chains.local(link, "delay"))
        slot = self._chains.slot_of(link, "h")
        found.subject = (link, slot) if slot >= 0 else None
        if not handle or not self._values.is_a(handle, "TimerHandle"):
            return
        if "_when" not in dict(self._values.slots(handle)):
            return  # uvloop's has none
        with contextlib.suppress(*BAD):
            when = self._values.due(handle)
            if when:
                found.due_s = when
                if delay is not None and 0 <= delay < when:
                    found.began_s = when - delay

    def _members(self, link: Link, role: Role, found: Waiting) -> None:
        """The tasks that asyncio.wait, a TaskGroup or a nursery waits for."""
        values, found.changes = self._values, True
        place = found.object
        if role.kind:  # a group: its tasks are an attribute
            place = values.attribute(place, "_tasks")
        else:
            found.object, found.kind = 0, ""
        with contextlib.suppress(*BAD):
            kind = values.type_name(place)
            if values.is_a(place, TASK):
                self._pending([place], found)
            elif kind in ("set", "frozenset"):
                self._pending(values.set_items(place, _MAX_AWAITED), found)
            elif kind in ("list", "tuple"):
                self._pending(values.list_items(place, _MAX_AWAITED), found)

    def _pending(self, futures: list[int], found: Waiting) -> None:
        """Those of them that have not ended; those among these that are tasks."""
        size, at = self._values.layout.size, self._values.layout.state
        for address, head in zip(futures, self._memory.read_many([(f, size) for f in futures]), strict=True):
            if head is not None and _INT(head, at)[0] == PENDING:
                found.total += 1
                if self._is_task(head):
                    found.awaited.append(address)

    # ------------------------------------------------------------------ by the future

    def _future(self, chain: Chain, future: int, head: bytes, kind: str, task: bool) -> Waiting:
        values = self._values
        if task:
            return Waiting(TaskState.TASK, "await", awaited=[future], total=1)
        if kind == "_GatheringFuture":
            found = Waiting(TaskState.TASK, "gather", changes=True)
            with contextlib.suppress(*BAD):
                parts = values.list_items(values.attribute(future, "_children"), _MAX_AWAITED)
                self._pending(parts, found)
                call = 0 if found.awaited else self._first_call(parts)
                if call:
                    return Waiting(TaskState.EXECUTOR, "executor", call=call, changes=True)
            return found
        inner = self._in_closure(head, _SHIELDED)
        if inner and values.is_a(inner, TASK):
            return Waiting(TaskState.TASK, "shield", awaited=[inner], total=1)
        meant = future  # `wait_for` waits for a future of its own
        if not self._o.features.wait_for_inline:
            for link in reversed(chain.links[-3:]):
                if link.place.code.qualname == "wait_for":
                    waited = self._chains.local(link, "fut")
                    if waited and values.is_a(waited, TASK):
                        return Waiting(TaskState.TASK, "wait_for", awaited=[waited], total=1, changes=True)
                    meant = waited or meant
        call = self._in_closure(head, _CHAINED)
        if not call and inner:  # asgiref shields the future of a thread's call
            with contextlib.suppress(*BAD):
                call = self._in_closure(self._memory.read(inner, values.layout.size), _CHAINED)
        if values.type_name(call) == "Future":
            return Waiting(TaskState.EXECUTOR, "executor", call=call, changes=True)
        peer = self._transports.of_chain(chain.links)
        if peer is not None or kind in _SOCKET_FUTURES:
            via = chain.links[-1].place.code.qualname if chain.links else ""
            return Waiting(TaskState.IO, via, peer=peer)
        with contextlib.suppress(*BAD):
            asked = self._before(meant, message_sockets.BEFORE)
            wants = message_sockets.waits_to(values, self._chains, chain.links, asked)
            if wants:
                return Waiting(TaskState.IO, wants, kind=MESSAGES)
        peer = self._connecting(chain.links[-1]) if chain.links else None
        if peer is not None:
            return Waiting(TaskState.IO, "connect", peer=peer)
        # A coroutine that was compiled has no frames: a library's own.
        return Waiting(TaskState.UNKNOWN, "future" if chain.links else "compiled", kind=kind.rpartition(".")[2])

    def _connecting(self, link: Link) -> Peer | None:
        """What a function is being connected to that has a loop make a connection to its `host` and `port`: where that
        is uvloop there are no frames, and no socket anywhere yet."""
        known = self.meaning(link.place.code)
        if known.connects is None:
            known.connects = False
            with contextlib.suppress(*BAD):
                known.connects = "create_connection" in self._values.refers_to(link.place.code.address)
        return self._transports.to(link) if known.connects else None

    def _first_call(self, futures: list[int]) -> int:
        """The first call in a thread or process among what has not ended; 0 for none."""
        size, at = self._values.layout.size, self._values.layout.state
        for head in self._memory.read_many([(f, size) for f in futures]):
            call = self._in_closure(head, _CHAINED) if head is not None and _INT(head, at)[0] == PENDING else 0
            if call and self._values.type_name(call) == "Future":
                return call
        return 0

    def _before(self, future: int, steps: Collection[tuple[str, str]]) -> int:
        """The future for which this one stands, by the callbacks that both have; itself where it stands for none."""
        values = self._values
        for _ in range(_MOST_STEPS):
            head = self._memory.read(future, values.layout.size)
            first, more = _WORD(head, values.layout.callback)[0], _WORD(head, values.layout.callbacks)[0]
            callbacks = [first] if first else []
            if more and values.is_a(more, "list"):
                pairs = values.list_items(more, _MOST_CALLBACKS)
                callbacks += [values.objects.tuple_items(pair, 2)[0] for pair in pairs if values.is_a(pair, "tuple")]
            following = (self._variable(callback, step) for callback in callbacks for step in steps)
            found = next((f for f in following if f), 0)
            if not found:
                break
            future = found
        return future

    def _in_closure(self, head: bytes, wanted: tuple[str, str]) -> int:
        """What the first callback of a future, if it is this function, has in a variable of its closure; 0 for none."""
        return self._variable(_WORD(head, self._values.layout.callback)[0], wanted)

    def _variable(self, callback: int, wanted: tuple[str, str]) -> int:
        """What a function, if it is this one, has in a variable of its closure; 0 for none."""
        values, (function, variable) = self._values, wanted
        if not callback or values.type_name(callback) != "function":
            return 0
        with contextlib.suppress(*BAD):
            code = self._codes.get(self._memory.word(callback + self._o["function.func_code"]))
            if code is None or code.name != function:
                return 0
            closure = self._memory.word(callback + values.layout.closure)
            cells = values.objects.tuple_items(closure, 16) if closure else ()
            for i, cell in enumerate(cells):
                if code.variable(values.objects, code.nlocalsplus - len(cells) + i) == variable:
                    return values.cell(cell)
        return 0

    def shielded(self, future: int) -> int:
        """The future that `shield` was given, of the one that it returned; itself of any other."""
        with contextlib.suppress(*BAD):
            return self._before(future, (_SHIELDED,))
        return future

    def name(self, function: int) -> str:
        """Of a function in Python. Raises BadAddress."""
        code = self._codes.get(self._memory.word(function + self._o["function.func_code"]))
        return code.name if code is not None else ""

    def enclosed(self, function: int, kind: str) -> list[int]:
        """What a function has in its closure; of a functools.partial its arguments, what its function has there, and
        last the function. Raises BadAddress."""
        values, memory = self._values, self._memory
        found: list[int] = []
        if kind == "functools.partial":
            # PyObject_HEAD; PyObject *fn, *args (Modules/_functoolsmodule.c, 3.8 to 3.15)
            start = function + self._o["ob.type"] + 8
            found += values.objects.tuple_items(memory.word(start + 8), _MOST_CALLBACKS)
            function = memory.word(start)
            found.append(function)
        if function and values.type_name(function) == "function":
            closure = memory.word(function + values.layout.closure)
            cells = values.objects.tuple_items(closure, 16) if closure else ()
            found = [values.cell(cell) for cell in cells] + found
        return found

    def passed_on(self, call: int, wanted: Collection[int]) -> set[int]:
        """Those of these futures that a callback of a `concurrent.futures` one has in its closure, or in that of a
        function that it has there: so tornado and others pass a result on to a future of their own."""
        values, found, seen = self._values, set[int](), set[int]()
        with contextlib.suppress(*BAD):
            todo = values.list_items(values.attribute(call, "_done_callbacks"), _MOST_CALLBACKS)
            while todo and len(seen) < _MOST_FUNCTIONS:
                function = todo.pop()
                if function in seen or values.type_name(function) != "function":
                    continue
                seen.add(function)
                kept = self.enclosed(function, "function")
                found.update(set(kept).intersection(wanted))
                todo += kept
        return found

    def destination(self, head: bytes) -> int:
        """The future of `concurrent.futures` that a task's (or future's) first callback passes its result on to."""
        found = self._in_closure(head, _PASSED_ON)
        return found if self._values.type_name(found) == "Future" else 0

    def given(self, ready: int) -> list[int]:
        """The futures of `concurrent.futures` whose coroutines were given to a loop (run_coroutine_threadsafe) and are
        still in its ready queue, of which this is the deque."""
        values, memory, at = self._values, self._memory, ready + self._o["deque.state"]
        found: list[int] = []
        try:
            state = memory.word(at)
            for handle in values.objects.deque_items(ready, _MOST_READY):
                if values.type_name(handle) in _HANDLES:
                    future = self._variable(values.attribute(handle, "_callback"), _GIVEN)
                    if values.type_name(future) == "Future":
                        found.append(future)
            return found if memory.word(at) == state else []
        except BAD:
            return []

    def call_state(self, call: int) -> str:
        """Of a future of `concurrent.futures`: 'PENDING', 'RUNNING', ..."""
        return self._values.text(self._values.attribute(call, "_state"), 40)

    def _sqlalchemy(self, chain: Chain, function: int) -> int:
        """The pool at whose queue a greenlet's function waits; 0 where it is not the queue that the chain waits at."""
        values = self._values
        waits_at = 0
        for link in reversed(chain.links):
            if link.place.code.qualname == "Queue.get":
                waits_at = self._chains.local(link, "self")
                break
        apart = self._apart(chain)
        if apart is not None and apart.place.code.qualname == "Queue.get":
            waits_at = self._chains.local(apart, "self")
        if not waits_at or values.type_name(function) != "method":
            return 0
        with contextlib.suppress(*BAD):
            owner = self._memory.word(function + self._o["method.im_self"])
            for path in (
                ("pool",),
                ("bind", "pool"),
                ("bind", "sync_engine", "pool"),
                ("sync_engine", "pool"),
                ("engine", "pool"),
                ("dispatch", "pool"),
            ):
                pool = values.attribute(owner, *path)
                if pool and values.attribute(pool, "_pool", "_queue") == waits_at:
                    return pool
        return 0
