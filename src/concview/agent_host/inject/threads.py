"""The thread states of a running interpreter, for telling them to look at a request.

A thread state can be freed at any time, and what is written to one then goes into free memory. So a request first goes
to the main thread, whose state lives as long as the interpreter, and to others only when that did not help: to those
that were there a moment before and still have a thread in the kernel.
"""

from __future__ import annotations

import contextlib
import struct

from concview.agent_host.inject.writable import WritableMemory
from concview.cpython.memory import BadAddress
from concview.cpython.offsets import COOKIE, NEWEST, describe
from concview.errors import Unsupported
from concview.linux import namespaces

#: No more thread states are walked, and asked.
MAX_THREADS = 5_000
MAX_ASKED = 200


class ThreadStates:
    """Those of the main interpreter; 3.13 and newer, whose runtime says where they are."""

    def __init__(self, memory: WritableMemory, runtime: int, hexversion: int) -> None:
        self._memory = memory
        head = memory.read(runtime, 2048)
        if head[:8] != COOKIE:
            raise Unsupported("the runtime has no debug offsets where Python 3.13 and newer have them")
        # Newer versions than we know begin their list of offsets with the same words.
        words = struct.unpack_from("<11Q", head)
        self.free_threaded = bool(words[2])
        self.finalizing = bool(memory.word(runtime + words[4]))
        known = min((hexversion >> 24 & 0xFF, hexversion >> 16 & 0xFF), NEWEST)
        offsets = describe(known[0] << 24 | known[1] << 16, head)
        self._next, self._native = offsets["ts.next"], offsets["ts.native_thread_id"]
        self._head = offsets["is.threads_head"]
        self._main_pointer = offsets.get("is.threads_main")  #: -1 before 3.14
        #: the main interpreter is the oldest, so the last of the list
        self.interpreter = self._last(memory.word(runtime + offsets["rt.interpreters_head"]), offsets["is.next"])
        self._main_tid = namespaces.inner_pid(memory.pid)
        self._seen: set[tuple[int, int]] = set()

    def _last(self, interpreter: int, offset: int) -> int:
        for _ in range(256):
            following = self._memory.word(interpreter + offset) if interpreter else 0
            if not following:
                break
            interpreter = following
        return interpreter

    def walk(self) -> list[tuple[int, int]]:
        """(address, native id) of every thread state, as far as the list can be followed while it changes."""
        found: list[tuple[int, int]] = []
        with contextlib.suppress(BadAddress):
            state = self._memory.word(self.interpreter + self._head)
            while state and len(found) < MAX_THREADS:
                found.append((state, self._memory.word(state + self._native)))
                state = self._memory.word(state + self._next)
        return found

    def main(self) -> list[int]:
        """The main thread's state, in a list; none when Python was entered from another thread only, or when the walk
        broke off: the main thread is the last of the list, behind those that come and go. Then try again."""
        if self._main_pointer >= 0:
            state = self._memory.word(self.interpreter + self._main_pointer)
            return [state] if state else []
        return [state for state, tid in self.walk() if tid == self._main_tid]

    def others(self) -> list[int]:
        """States of threads that were there at the last look and still live, the main thread's left out."""
        before, now = self._seen, self.walk()
        self._seen = set(now)
        try:
            alive = namespaces.tasks(self._memory.pid)
        except OSError:
            return []
        return [state for state, tid in now if (state, tid) in before and tid != self._main_tid and tid in alive][
            :MAX_ASKED
        ]
