"""3.8 to 3.13: one entry in the interpreter's own queue of pending calls, `PyRun_SimpleString(line)`.

Order: the line, the entry, the end of the ring, the note that there is something, the eval-breaker. Whoever sees any
of these sees everything before it. The race left open: the target adding a pending call of its own within the same
microsecond (C extensions and greenlet do that when threads end); its entry and ours would then be one.
"""

from __future__ import annotations

import struct

from concview.agent_host.inject import place
from concview.agent_host.inject.layout import BREAKER_313, LOOK, RINGS, looking
from concview.agent_host.inject.request import CannotInject
from concview.agent_host.inject.threads import ThreadStates
from concview.agent_host.inject.writable import WritableMemory
from concview.cpython import elf
from concview.cpython.memory import BadAddress, Mapping, Memory
from concview.cpython.runtime import Runtime
from concview.errors import Code, Unsupported


class RingRequest:
    """See `request.Request`."""

    def __init__(self, memory: WritableMemory, runtime: Runtime, maps: list[Mapping], line: str) -> None:
        self._memory = memory
        self._ring = ring = RINGS[runtime.version]
        self._line = line.encode("ascii") + b"\0"
        self._slot = -1
        self._main: list[int] = []
        try:
            interpreter = memory.word(runtime.address + ring.main)
            if not interpreter:
                raise CannotInject("the interpreter is not set up yet", "try again in a moment", Code.BUSY)
            self._states: ThreadStates | None = None
            if ring.breaker < 0:
                self._states = ThreadStates(memory, runtime.address, runtime.hexversion)
                if self._states.free_threaded:
                    raise CannotInject(
                        "free-threaded Python 3.13 cannot be asked to load the agent",
                        "call concview.agent.listen() in the program, or use Python 3.14",
                    )
                finalizing = self._states.finalizing
            else:
                finalizing = bool(memory.word(runtime.address + ring.finalizing))
                self._breaker = (runtime.address if ring.in_runtime else interpreter) + ring.breaker
            if finalizing:
                raise CannotInject("the target's interpreter is ending")
            self._pending = (runtime.address if ring.in_runtime else interpreter) + ring.pending
            self._function = _run_function(memory.pid, runtime, maps)
            self._address = place.find(memory, maps, len(self._line), self._line[:32])
            self._check()
        except (BadAddress, Unsupported, place.NoPlace) as error:
            raise CannotInject(f"the interpreter's layout is not as expected ({error})", "", Code.UNREADABLE) from None

    def _check(self) -> tuple[int, int]:
        """(first, last) of the ring, after making sure that it is one. CannotInject when it is not, or is full."""
        ring, memory = self._ring, self._memory
        first, last = (memory.int32(self._pending + o) for o in (ring.first, ring.last))
        todo = memory.int32(self._pending + ring.todo)
        waiting = (last - first) % ring.count
        sane = 0 <= first < ring.count and 0 <= last < ring.count
        sane &= todo == waiting if self._states is not None else todo in (0, 1)
        if self._states is None:
            sane &= memory.int32(self._breaker) in (0, 1)
        if not sane:
            raise CannotInject(
                f"the interpreter's layout is not as expected (pending calls {first}, {last}, {todo})",
                "please report the Python version and where it comes from",
            )
        if waiting > ring.count - 3:
            raise CannotInject(
                "the target's queue of pending calls is full", "try again when it runs Python code", Code.BUSY
            )
        return first, last

    def poke(self, again: bool) -> None:
        if self._slot < 0:
            self._write()
        # Set again and again: the flag is cleared when a thread that may not run pending calls looks at it.
        if self._states is None:
            self._memory.write_int32(self._breaker, 1)
        else:
            self._main = self._main or self._states.main()
            for state in self._main + (self._states.others() if again else []):
                flags = self._memory.read(state + BREAKER_313, 1)[0]
                if flags & LOOK != LOOK:
                    self._memory.write(state + BREAKER_313, looking(flags))

    def _write(self) -> None:
        ring, memory = self._ring, self._memory
        # The first byte last: until then the string is empty, and running it does nothing.
        memory.write(self._address + 1, self._line[1:])
        memory.write(self._address, self._line[:1])
        first, last = self._check()
        for slot in _slots(first, last, ring.count):
            entry = self._pending + ring.calls + ring.entry * slot
            if struct.unpack("<QQ", memory.read(entry, 16)) == (self._function, self._address):
                self._slot = slot  # an earlier request of ours that nobody took: it now runs this line
                return
        entry = self._pending + ring.calls + ring.entry * last
        memory.write(entry, struct.pack("<QQ", self._function, self._address).ljust(ring.entry, b"\0"))
        memory.write_int32(self._pending + ring.last, (last + 1) % ring.count)
        todo = memory.int32(self._pending + ring.todo)
        memory.write_int32(self._pending + ring.todo, todo + 1 if self._states is not None else 1)
        self._slot = last

    def taken(self) -> bool:
        if self._slot < 0:
            return False
        first, last = (self._memory.int32(self._pending + o) for o in (self._ring.first, self._ring.last))
        return self._slot not in _slots(first, last, self._ring.count)

    def withdraw(self) -> None:
        """The entry stays where it is and runs an empty string some day, which does nothing."""
        if self._slot >= 0:
            self._memory.write(self._address, b"\0")
            self._memory.write(self._address, bytes(len(self._line)))

    def close(self) -> None:
        self._memory.close()


def _slots(first: int, last: int, count: int) -> list[int]:
    """The ring's occupied places, oldest first."""
    return [(first + i) % count for i in range((last - first) % count)]


def _run_function(pid: int, runtime: Runtime, maps: list[Mapping]) -> int:
    """Address of PyRun_SimpleString, in the module that holds the runtime."""
    reader = Memory(pid)
    for mapping in maps:
        if mapping.path == runtime.path and mapping.offset == 0:
            address = elf.Module(reader, mapping.start).symbol("PyRun_SimpleString")
            if address:
                return address
            break
    raise CannotInject("the target's interpreter exports no PyRun_SimpleString (a stripped, static program?)")
