"""Which kernel thread a Python thread is: before 3.11 a thread state knows its pthread handle only.

The handle is the address of the C library's `struct pthread`, in which the kernel's thread id is a 32-bit word at a
place that depends on the library. That place is not assumed but found: it is the one at which every thread's struct has
the number of one of the process's threads, each another one.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterable

from concview.cpython.heap.layout import PTHREAD_TID
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.cpython.threads import read_lists
from concview.errors import TargetGone, Unsupported
from concview.linux.namespaces import ThreadNumbers, tasks
from concview.linux.process_facts import ProcessFacts

#: Bytes looked through.
_SEARCHED = 1024
#: Threads compared.
_MOST = 64
#: Where threads are born and end all the time, most looks meet one that is in one list only.
_TRIES = 25
_PAUSE_S = 0.002

_INT = struct.Struct("<i").unpack_from


class NativeIds:
    def __init__(self, memory: Memory, runtime: Runtime, offsets: Offsets, numbers: ThreadNumbers) -> None:
        """Raises Unsupported where the place cannot be found, TargetGone."""
        self._memory = memory
        self._folder = f"{memory.facts.folder}/task"
        self._offset, known = -1, dict[int, int]()
        for attempt in range(_TRIES):  # threads may come and go under the read
            time.sleep(_PAUSE_S if attempt else 0)
            with contextlib.suppress(BadAddress):
                before = _tasks(memory.facts)
                _, threads = read_lists(memory, runtime, offsets, {})
                handles = [memory.word(t.address + offsets["ts.thread_id"]) for t in threads[-_MOST:]]
                known = _tasks(memory.facts)
                self._offset = _find(memory, handles, {**before, **known})
                if self._offset >= 0:
                    break
        else:
            raise Unsupported("the C library does not say which thread of Python's is which of the kernel's")
        self._numbers = numbers

    def tid(self, handle: int) -> int:
        """The kernel's number of a thread; 0 when it has none (yet, or any more)."""
        word = self._memory.read_many([(handle + self._offset, 4)])[0]
        found: int = _INT(word)[0] if word is not None else 0
        if self._numbers.nested:
            return self._numbers.outer(found)
        return found if found and os.access(f"{self._folder}/{found}", os.F_OK) else 0


def _tasks(process: ProcessFacts) -> dict[int, int]:
    try:
        return tasks(process)
    except OSError:
        raise TargetGone("exited") from None


def _find(memory: Memory, handles: Iterable[int], known: dict[int, int]) -> int:
    """The place (bytes) of the number in `struct pthread`; -1 when there is none."""
    parts = memory.read_many([(handle, _SEARCHED) for handle in dict.fromkeys(handles)])
    structs = [part for part in parts if part is not None]  # the others' threads have ended
    for at in PTHREAD_TID:
        # Where it is expected, some may have ended (the kernel clears it then) or begun since the list was read.
        numbers = [number for data in structs if (number := _INT(data, at)[0])]
        strangers = len(set(numbers) - known.keys())
        if numbers and len(set(numbers)) == len(numbers) > len(structs) // 2 and strangers <= len(numbers) // 8:
            return at
    for at in range(0, _SEARCHED, 4):
        found = {_INT(data, at)[0] for data in structs}
        if structs and len(found) == len(structs) and found <= known.keys():
            return at
    return -1
