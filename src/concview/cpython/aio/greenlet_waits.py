"""What a greenlet that is switched out waits for: gevent and eventlet.

Most of gevent is compiled, and leaves no frames: what a frame of the program's own calls lies on its value stack. It is
believed only when the object in turn has this greenlet among those that it will wake (its links, getters or putters).
"""

from __future__ import annotations

import contextlib
import struct

from concview.cpython.aio.chain import Chains, Link
from concview.cpython.aio.roles import EXECUTOR, IDLE, IO, LOCK, POOL, QUEUE, SLEEP, TASK, Role, find
from concview.cpython.aio.transports import Transports
from concview.cpython.aio.values import BAD, Values
from concview.cpython.aio.waits import Waiting
from concview.model import Peer, TaskState
from concview.source.calls import ROLES as STANDARD

_EVENTLET_IO, _EVENTLET_QUEUE = "eventlet/greenio/base.py", "eventlet/queue.py"

#: The outermost role decides, among the frames of the libraries that are innermost.
ROLES: dict[tuple[str, str], Role] = {
    ("gevent/hub.py", "sleep"): Role(SLEEP, "sleep", subject="seconds", library="gevent"),
    ("gevent/hub.py", "idle"): Role(SLEEP, "idle", subject="", library="gevent"),
    ("gevent/thread.py", "LockType.acquire"): Role(LOCK, "Lock.acquire", "Lock", library="gevent"),
    ("gevent/lock.py", "RLock.acquire"): Role(LOCK, "RLock.acquire", "Lock", library="gevent"),
    ("gevent/pool.py", "Pool.add"): Role(POOL, "Pool.spawn", "Pool", library="gevent"),
    ("gevent/pool.py", "Pool.wait_available"): Role(POOL, "Pool.wait_available", "Pool", library="gevent"),
    ("gevent/pool.py", "Group.join"): Role(TASK, "Group.join", "", library="gevent"),
    ("gevent/threadpool.py", "ThreadPool.spawn"): Role(EXECUTOR, "ThreadPool.spawn", "", library="gevent"),
    ("gevent/pool.py", "GroupMappingMixin.apply"): Role(EXECUTOR, "ThreadPool.apply", "ThreadPool", library="gevent"),
    ("gevent/resolver/thread.py", "Resolver.getaddrinfo"): Role(EXECUTOR, "getaddrinfo", "", "", "gevent"),
    ("gevent/subprocess.py", "Popen.wait"): Role(IO, "Process.wait", "", "", "gevent"),
    ("gevent/subprocess.py", "Popen.communicate"): Role(IO, "Process.communicate", "", "", "gevent"),
    ("gevent/baseserver.py", "BaseServer.serve_forever"): Role(IDLE, "serve_forever", "", "", "gevent"),
    ("gevent/pywsgi.py", "WSGIHandler.read_requestline"): Role(IDLE, "next request", "", "", "gevent"),
    ("gevent/_socket3.py", "socket.accept"): Role(IDLE, "accept", "", "", "gevent"),
    ("gevent/select.py", "select"): Role(IO, "select", "", "", "gevent"),
    ("gevent/select.py", "poll.poll"): Role(IO, "poll", "", "", "gevent"),
    ("gevent/os.py", "nb_read"): Role(IO, "read", "", "", "gevent"),
    ("gevent/os.py", "nb_write"): Role(IO, "write", "", "", "gevent"),
    ("eventlet/greenthread.py", "sleep"): Role(SLEEP, "sleep", subject="seconds", library="eventlet"),
    ("eventlet/greenthread.py", "GreenThread.wait"): Role(TASK, "GreenThread.wait", "", library="eventlet"),
    ("eventlet/semaphore.py", "Semaphore.acquire"): Role(LOCK, "Semaphore.acquire", "Semaphore", library="eventlet"),
    ("eventlet/event.py", "Event.wait"): Role(LOCK, "Event.wait", "Event", library="eventlet"),
    (_EVENTLET_QUEUE, "LightQueue.get"): Role(QUEUE, "Queue.get", library="eventlet"),
    (_EVENTLET_QUEUE, "LightQueue.put"): Role(QUEUE, "Queue.put", library="eventlet"),
    (_EVENTLET_QUEUE, "Queue.join"): Role(QUEUE, "Queue.join", library="eventlet"),
    ("eventlet/greenpool.py", "GreenPool.spawn"): Role(POOL, "GreenPool.spawn", "Pool", library="eventlet"),
    ("eventlet/greenpool.py", "GreenPool.spawn_n"): Role(POOL, "GreenPool.spawn", "Pool", library="eventlet"),
    ("eventlet/greenpool.py", "GreenPool.waitall"): Role(TASK, "GreenPool.waitall", "", library="eventlet"),
    ("eventlet/pools.py", "Pool.get"): Role(POOL, "Pool.get", "Pool", library="eventlet"),
    ("eventlet/tpool.py", "execute"): Role(EXECUTOR, "tpool.execute", "", "", "eventlet"),
    ("eventlet/greenio/base.py", "GreenSocket.accept"): Role(IDLE, "accept", "", "", "eventlet"),
    ("eventlet/wsgi.py", "HttpProtocol._read_request_line"): Role(IDLE, "next request", "", "", "eventlet"),
    ("eventlet/hubs/__init__.py", "trampoline"): Role(IO, "trampoline", "", "", "eventlet"),
}
#: Files of which every function that waits does so for I/O: what it is called is the name of the wait.
_IO_FILES = (
    "gevent/_socketcommon.py", "gevent/_socket3.py", "gevent/ssl.py", "gevent/_ssl3.py", "gevent/_fileobjectcommon.py",
    "gevent/_fileobjectposix.py", _EVENTLET_IO, "eventlet/green/ssl.py", "eventlet/greenio/py3.py",
)  # fmt: skip
_LIBRARIES = ("/gevent/", "/eventlet/")
#: Modules of the standard library that stand between: the libraries replace what they are made of.
_BETWEEN = ("threading.py", "queue.py", "socket.py", "ssl.py", "subprocess.py", "selectors.py")
#: Classes in gevent's C modules: the end of the name -> (state, via, kind).
_WAITABLE: dict[str, tuple[TaskState, str, str]] = {
    "_gevent_c_semaphore.Semaphore": (LOCK, "Semaphore.acquire", "Semaphore"),
    "_gevent_c_semaphore.BoundedSemaphore": (LOCK, "Semaphore.acquire", "Semaphore"),
    "_gevent_cevent.Event": (LOCK, "Event.wait", "Event"),
    "_gevent_cevent.AsyncResult": (LOCK, "Event.wait", "Event"),
    "_gevent_cqueue.Queue": (QUEUE, "Queue.get", "Queue"),
    "_gevent_cqueue.SimpleQueue": (QUEUE, "Queue.get", "Queue"),
    "_gevent_cqueue.UnboundQueue": (QUEUE, "Queue.get", "Queue"),
    "_gevent_cqueue.Channel": (QUEUE, "Channel.get", "Queue"),
    "_gevent_cgreenlet.Greenlet": (TASK, "Greenlet.join", ""),
}
_WAITER, _PUTTER = "_gevent_c_waiter", "ItemWaiter"
#: Bytes of such an object that are searched for its links, links that are looked at, and members of a list.
_SEARCHED, _MOST_LINKS, _MOST_MEMBERS = 160, 2000, 1000
#: Slots of a value stack that are looked at.
_MAX_SLOTS = 24
_LISTS = ("list", "collections.deque", "tuple")


class GreenletWaits:
    def __init__(self, values: Values, chains: Chains, transports: Transports) -> None:
        self._values, self._chains, self._transports = values, chains, transports
        self._memory, self._o = values.memory, values.o

    def of(self, greenlet: int, links: list[Link]) -> Waiting:
        """`links`: outermost first. May raise one of `BAD`."""
        found: tuple[Link, Role] | None = None
        for link in reversed(links):
            code = link.place.code
            base = code.file.rpartition("/")[2]
            library = any(part in code.file for part in _LIBRARIES)
            role = self._role(link) if library or base in _BETWEEN else None
            if role is None and not library and base not in _BETWEEN:
                break
            if role is not None and (
                role.state is not EXECUTOR
                or not role.kind
                or self._values.is_a(self._chains.local(link, role.subject), role.kind)
            ):
                found = link, role
        if found is None:
            return self._called(greenlet, links)
        link, role = found
        return self._by_role(link, role, links)

    def before_start(self, greenlet: int) -> Waiting | None:
        """Of one that was made and has not run yet; None where nobody has asked gevent to run it."""
        values = self._values
        if not values.is_a(greenlet, "gevent._gevent_cgreenlet.Greenlet"):
            return Waiting(TaskState.READY, "not started")
        with contextlib.suppress(*BAD):
            for kind in values.type_names(self._words(greenlet)):
                if kind.endswith(("callback", "Callback")):
                    return Waiting(TaskState.READY, "not started")
                if kind.endswith("timer"):
                    return Waiting(SLEEP, "spawn_later")
        return None

    def _role(self, link: Link) -> Role | None:
        code = link.place.code
        role = find(ROLES, code.file, code.qualname)
        if role is None and any(code.file.endswith(file) for file in _IO_FILES):
            return Role(IO, code.qualname.rpartition(".")[2], subject="self", library="")
        if role is None and code.qualname == "_shutdown" and code.file.endswith("/threading.py"):
            return Role(IDLE, "the end of threads", "", "", "threading")
        if role is None and code.role in STANDARD:
            via, kind = STANDARD[code.role]
            state = QUEUE if "Queue" in via else TASK if via == "Thread.join" else LOCK
            return Role(state, via, kind, library="threading")
        return role

    def _by_role(self, link: Link, role: Role, links: list[Link]) -> Waiting:
        found = Waiting(role.state, role.via, library=role.library)
        subject = self._chains.local(link, role.subject) if role.subject else 0
        if role.state is SLEEP:
            seconds = self._values.number(subject) if subject else None
            if seconds is not None and seconds <= 0:
                return Waiting(TaskState.READY, "sleep(0)")
        elif role.state is IO:
            found.peer = self._peer(links)
        elif role.state is TASK:
            if self._values.is_a(subject, "greenlet.greenlet"):
                found.awaited, found.total = [subject], 1
        elif role.state in (LOCK, QUEUE, POOL) and subject:
            found.object = subject
            found.kind = role.kind or self._values.type_name(subject).rpartition(".")[2]
        return found

    def _peer(self, links: list[Link]) -> Peer | None:
        for link in reversed(links[-8:]):
            owner = self._chains.local(link, "self")
            green = self._values.attribute(owner, "fd") if owner else 0  # eventlet's sockets
            if green and self._values.is_a(green, "_socket.socket"):
                return self._transports.of(green)
        return self._transports.of_chain(links)

    # ------------------------------------------------------------------ what a compiled function was called with

    def _called(self, greenlet: int, links: list[Link]) -> Waiting:
        if not links:
            return Waiting()
        link, values = links[-1], self._values
        code = link.place.code
        first = code.nlocalsplus
        count = min(code.stacksize, _MAX_SLOTS)
        words: list[int] = []
        for slot in range(first + count - 1, first - 1, -1):
            with contextlib.suppress(*BAD):
                word = self._chains.slot(link, slot)
                if word and word not in words:
                    words.append(word)
        # `self` of a library's own function that has no role.
        owner = self._chains.local(link, "self")
        words += [owner] if owner else []
        kinds = values.type_names(words)
        # Lists first: what one was made of may still be written above it.
        for word in [w for w, kind in zip(words, kinds, strict=True) if kind in ("list", "tuple")]:
            with contextlib.suppress(*BAD):
                members = values.list_items(word, _MOST_MEMBERS)
                if any(self._is_linked(greenlet, m) for m in members):
                    tasks = [m for m in members if values.is_a(m, "greenlet.greenlet")]
                    return Waiting(TASK, "wait", awaited=tasks, total=len(tasks), changes=True)
        for word, kind in zip(words, kinds, strict=True):
            for each in (word, self._owner(word, kind)):
                found = self._waits_at(greenlet, each) if each else None
                if found is not None:
                    return found
        return Waiting(TaskState.UNKNOWN, code.name if "/gevent/" in code.file else "switch")

    def _owner(self, address: int, kind: str) -> int:
        """The object that a bound method is of."""
        with contextlib.suppress(*BAD):
            if kind == "builtin_function_or_method":
                return self._memory.word(address + self._o["cfunction.m_self"])
            if kind == "method":
                return self._memory.word(address + self._o["method.im_self"])
        return 0

    def _waits_at(self, greenlet: int, address: int) -> Waiting | None:
        with contextlib.suppress(*BAD):
            type_ = self._memory.word(address + self._o["ob.type"])
            known = next((w for end, w in _WAITABLE.items() if self._values.derives(type_, f"gevent.{end}")), None)
            if known is None:
                return None
            state, via, kind = known
            link = self._link(greenlet, address)
            if not link:
                inner = self._unfinished(address) if state is QUEUE else 0
                if inner and self._link(greenlet, inner):
                    return Waiting(QUEUE, "Queue.join", address, kind, "gevent")
                return None
            if link.endswith(_PUTTER):
                via = via.replace(".get", ".put")
            if state is TASK:
                return Waiting(TASK, via, library="gevent", awaited=[address], total=1)
            return Waiting(state, via, address, kind, "gevent")
        return None

    def _unfinished(self, queue: int) -> int:
        """The event that a queue's `join` waits at."""
        words = self._words(queue)
        kinds = self._values.type_names(words)
        return next((w for w, k in zip(words, kinds, strict=True) if k.endswith("_gevent_cevent.Event")), 0)

    def _words(self, address: int) -> list[int]:
        data = self._memory.read_some(address, _SEARCHED)
        size = self._values.objects.type_of(address).basicsize
        words = struct.unpack(f"<{min(len(data), size) // 8}Q", data[: min(len(data), size) // 8 * 8])
        return [w for w in words[2:] if w > 4096 and not w & 7]

    def _is_linked(self, greenlet: int, address: int) -> bool:
        with contextlib.suppress(*BAD):
            return bool(self._link(greenlet, address))
        return False

    def _link(self, greenlet: int, address: int) -> str:
        """The class of what will switch to the greenlet, in one of an object's lists; '' for none."""
        values, o = self._values, self._o
        if not values.type_name(address).startswith("gevent.") and not values.is_a(
            address, *(f"gevent.{end}" for end in _WAITABLE)
        ):
            return ""
        words = self._words(address)
        for word, kind in zip(words, values.type_names(words), strict=True):
            if kind not in _LISTS:
                continue
            if kind == "collections.deque":
                items = values.objects.deque_items(word, _MOST_LINKS)
            else:
                items = values.list_items(word, _MOST_LINKS)
            for item, name in zip(items, values.type_names(items), strict=True):
                target = item
                if name in ("builtin_function_or_method", "method-wrapper"):
                    target = self._memory.word(item + o["cfunction.m_self"])
                    name = values.type_name(target)
                elif name == "method":
                    target = self._memory.word(item + o["method.im_self"])
                    name = values.type_name(target)
                elif name.endswith("CyFunction") or name == "cython_function_or_method":
                    continue
                if target == greenlet:
                    return name
                if _WAITER in name or name.endswith("Waiter"):
                    data = self._memory.read_some(target, 80)
                    if greenlet in struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]):
                        return name
        return ""
