"""trio's tasks: the runner is a variable of the frame that runs it, and knows all of them.

Its tasks are objects of Python classes. A parked one ends in `wait_task_rescheduled`; what it waits for is told by the
frames above.
"""

from __future__ import annotations

import contextlib

from concview.cpython.aio.chain import Chain, Chains, Checker, Link
from concview.cpython.aio.holders import Held, Holders
from concview.cpython.aio.roles import EXECUTOR, IDLE, IO, LOCK, POOL, QUEUE, SLEEP, TASK, Role, find
from concview.cpython.aio.transports import Transports
from concview.cpython.aio.values import BAD, Values
from concview.cpython.aio.waits import Waiting
from concview.cpython.threads import Thread
from concview.model import TaskState

#: Bytes of a task's slots that are read at most, and of an int that counts: its size and two digits.
_MOST_SLOTS, _COUNTER = 1024, 16
#: Tasks of one runner that are looked at.
MAX_TASKS = 20_000
_RUN = "trio/_core/_run.py"
_RUNNERS = ("unrolled_run", "run")
#: Of a thread's frames, outermost first, are searched for a runner.
_FRAMES = 60
_SYSTEM = (
    "trio._core._entry_queue.EntryQueue.task", "trio._core._run.Runner.init", "<init>",
    "<TrioToken.run_sync_soon task>",
)  # fmt: skip

_SYNC, _CHANNEL, _TIMEOUTS, _EPOLL = "trio/_sync.py", "trio/_channel.py", "trio/_timeouts.py", "_core/_io_epoll.py"

#: The outermost of trio's own frames that has a role decides.
ROLES: dict[tuple[str, str], Role] = {
    (_TIMEOUTS, "sleep"): Role(SLEEP, "sleep", subject="", library="trio"),
    (_TIMEOUTS, "sleep_until"): Role(SLEEP, "sleep_until", subject="", library="trio"),
    (_TIMEOUTS, "sleep_forever"): Role(SLEEP, "sleep_forever", subject="", library="trio"),
    (_SYNC, "Event.wait"): Role(LOCK, "Event.wait", "Event", library="trio"),
    (_SYNC, "Semaphore.acquire"): Role(LOCK, "Semaphore.acquire", "Semaphore", library="trio"),
    (_SYNC, "_LockImpl.acquire"): Role(LOCK, "Lock.acquire", "Lock", library="trio"),
    (_SYNC, "Condition.wait"): Role(LOCK, "Condition.wait", "Condition", library="trio"),
    (_SYNC, "CapacityLimiter.acquire"): Role(POOL, "CapacityLimiter.acquire", "Limiter", library="trio"),
    (_SYNC, "CapacityLimiter.acquire_on_behalf_of"): Role(POOL, "CapacityLimiter.acquire", "Limiter", library="trio"),
    (_CHANNEL, "MemoryReceiveChannel.receive"): Role(QUEUE, "MemoryReceiveChannel.receive", library="trio"),
    (_CHANNEL, "MemorySendChannel.send"): Role(QUEUE, "MemorySendChannel.send", library="trio"),
    (_RUN, "Nursery.start"): Role(TASK, "start", "Nursery", "", library="trio"),
    (_RUN, "Nursery._nested_child_finished"): Role(TASK, "Nursery", "Nursery", library="trio"),
    ("trio/_core/_run.py", "NurseryManager.__aexit__"): Role(TASK, "Nursery", "Nursery", "", library="trio"),
    ("trio/_threads.py", "to_thread_run_sync"): Role(EXECUTOR, "to_thread.run_sync", "", "", library="trio"),
    ("trio/_socket.py", "_SocketType._nonblocking_helper"): Role(IO, "socket", library="trio"),
    ("trio/_socket.py", "_SocketType.connect"): Role(IO, "connect", library="trio"),
    ("trio/_highlevel_socket.py", "SocketStream.receive_some"): Role(IO, "SocketStream.receive_some", library="trio"),
    ("trio/_highlevel_socket.py", "SocketStream.send_all"): Role(IO, "SocketStream.send_all", library="trio"),
    ("trio/_highlevel_socket.py", "SocketListener.accept"): Role(IDLE, "accept", library="trio"),
    ("trio/_subprocess.py", "Process.wait"): Role(IO, "Process.wait", "", "", library="trio"),
    ("trio/_signals.py", "SignalReceiver.__anext__"): Role(IDLE, "a signal", "", "", library="trio"),
    (_EPOLL, "EpollIOManager._epoll_wait"): Role(IO, "wait", "", "", library="trio"),
}


class TrioTask:
    """One task as it was read."""

    __slots__ = ("address", "held", "links", "mark", "name", "nursery", "turns", "waiting")

    def __init__(self, address: int, name: str, nursery: int, turns: int) -> None:
        self.address, self.name, self.nursery = address, name, nursery
        self.turns = turns  #: how often it was scheduled, as trio counts
        self.mark: tuple[tuple[int, bytes], ...] = ()  #: (address, bytes) that change when it is scheduled
        self.links: list[Link] = []
        self.waiting = Waiting()
        self.held: list[Held] = []


class Trio:
    def __init__(self, values: Values, chains: Chains, holders: Holders, transports: Transports) -> None:
        self._values, self._chains, self._holders, self._transports = values, chains, holders, transports
        self._checker = Checker(values)
        self.runners: dict[int, int] = {}  #: runner -> tid of its thread
        self._missed: set[int] = set()  #: of them, those not seen when last looked for
        self._known: dict[int, dict[int, TrioTask]] = {}  #: runner -> its tasks by address, as they were read last

    def look_for(self, threads: list[Thread]) -> None:
        """Find the runners among the threads' frames."""
        found: dict[int, int] = {}
        # Of all code that was ever seen on a stack: there is less of it than there are frames of all threads.
        if not any(c.name in _RUNNERS and c.file.endswith(_RUN) for c in self._chains.codes.known.values()):
            threads = []
        for thread in threads:
            places = thread.walk.places
            for i in range(len(places) - 1, max(-1, len(places) - 1 - _FRAMES), -1):
                code = places[i].code
                if code.name in _RUNNERS and code.file.endswith(_RUN):
                    with contextlib.suppress(*BAD):
                        runner = self._chains.variable_of(code, thread.walk.addresses[i], "runner")
                        if self._values.type_name(runner) == "Runner":
                            found[runner] = thread.tid
                    break
        # A thread that was copied while it ran may be without the frame: one has gone when it was missed twice.
        tids = {thread.tid for thread in threads}
        missed = {r: tid for r, tid in self.runners.items() if tid in tids and tid not in found.values()}
        self.runners = found | {r: tid for r, tid in missed.items() if r not in self._missed}
        self._missed = set(missed) - self._missed
        self._known = {runner: tasks for runner, tasks in self._known.items() if runner in self.runners}

    def ready_queue(self, runner: int) -> int:
        """Address of the deque of tasks that are due."""
        queue = self._values.attribute(runner, "runq")
        return queue if self._values.type_name(queue) == "collections.deque" else 0

    def read(self, runner: int) -> tuple[list[TrioTask], set[int], int]:
        """(tasks, addresses of all there are, how many were torn)."""
        values = self._values
        tasks = values.attribute(runner, "tasks")
        addresses = values.set_items(tasks, MAX_TASKS) if values.type_name(tasks) == "set" else []
        known = self._known.get(runner, {})
        # What a nursery's body waits for are its children, which end while it is not scheduled.
        kept_ones = [t for a in addresses if (t := known.get(a)) and t.mark and t.waiting.state is not TaskState.TASK]
        stood = self._checker.same([task.mark for task in kept_ones])
        same_as_before = [task for task, same in zip(kept_ones, stood, strict=True) if same]
        there = {task.address for task in same_as_before}
        read: list[tuple[TrioTask, int, bool]] = []
        for address in addresses:
            if address in there:
                continue
            mark = self._mark(address)
            found = values.attributes(address)
            if "coro" in found and "name" in found:
                parked = values.type_name(found.get("_abort_func", 0)) not in ("NoneType", "")
                nursery = found.get("_parent_nursery", 0)
                nursery = nursery if values.type_name(nursery) == "Nursery" else 0
                points = found.get("_schedule_points", 0)
                task = TrioTask(address, values.text(found["name"]), nursery, values.integer(points, 0))
                if mark and points:
                    tag = points + values.o["long.lv_tag"]
                    task.mark = (mark, (tag, values.memory.read(tag, _COUNTER)))
                read.append((task, found["coro"], parked))
        chains = self._chains.walk([coroutine for _, coroutine, _ in read])
        kept: list[TrioTask] = []
        checks: list[list[tuple[int, bytes]]] = []
        torn = 0
        for (task, _, parked), chain in zip(read, chains, strict=True):
            if chain.torn:
                torn += 1
                continue
            check = [*task.mark, *(part for link in chain.links for part in link.stand)]
            task.links = chain.links
            try:
                task.waiting = self._wait(task, chain) if parked else Waiting(TaskState.READY)
                task.held = self._holders.of(chain.links, check)
            except BAD:
                torn += 1
                continue
            kept.append(task)
            checks.append(check)
        same = self._checker.same(checks)
        good = [task for task, holds in zip(kept, same, strict=True) if holds]
        torn += len(kept) - len(good)
        good += same_as_before
        self._known[runner] = {task.address: task for task in good}
        return good, set(addresses), torn

    def _mark(self, address: int) -> tuple[int, bytes] | None:
        """(address, bytes) of a task's slots. None where it has a dict, which says nothing of what is in it."""
        kind = self._values.objects.type_at(self._values.memory.word(address + self._values.o["ob.type"]))
        size = kind.basicsize - self._values.o.header
        if kind.dictoffset or not 0 < size <= _MOST_SLOTS:
            return None
        start = address + self._values.o.header
        return start, self._values.memory.read(start, size)

    def _wait(self, task: TrioTask, chain: Chain) -> Waiting:
        if task.name in _SYSTEM:
            return Waiting(TaskState.IDLE, "trio")
        best: tuple[Link, Role] | None = None
        for link in reversed(chain.links):
            code = link.place.code
            if "/trio/" not in code.file:
                break
            role = find(ROLES, code.file, code.qualname)
            if role is not None:
                best = link, role
                if role.state is POOL:  # a call in a thread waits for its limiter first
                    break
        if best is None:
            return Waiting(TaskState.UNKNOWN, "wait_task_rescheduled")
        link, role = best
        found = Waiting(role.state, role.via, library="trio")
        subject = self._chains.local(link, role.subject) if role.subject else 0
        if role.state is TaskState.IO:
            found.peer = (self._transports.of(subject) if subject else None) or self._transports.of_chain(chain.links)
        elif role.state is TaskState.TASK:
            self._children(chain, found)
        elif subject and role.state is not TaskState.IDLE:
            # Both ends of a channel have its state, and so have copies of either.
            state = self._values.attribute(subject, "_state") if role.state is QUEUE else 0
            found.object = state or subject
            found.kind = role.kind or self._values.type_name(subject).rpartition(".")[2]
        return found

    def _children(self, chain: Chain, found: Waiting) -> None:
        for link in reversed(chain.links):
            if link.place.code.qualname == "Nursery._nested_child_finished":
                nursery = self._chains.local(link, "self")
                children = self._values.attribute(nursery, "_children")
                if self._values.type_name(children) == "set":
                    found.object, found.kind = nursery, "Nursery"
                    found.awaited = self._values.set_items(children, MAX_TASKS)
                    found.total = len(found.awaited)
                return
