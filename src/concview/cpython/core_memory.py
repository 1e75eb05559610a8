"""Memory out of a core file, by the code that reads a running process's."""

from __future__ import annotations

import ctypes
import errno
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

from concview.cpython.memory import IoVec, Memory
from concview.linux.core_file import CoreFile
from concview.linux.process_facts import ProcessFacts


class CoreMemory(Memory):
    def __init__(self, process: ProcessFacts, core: CoreFile) -> None:
        super().__init__(process)
        self._core = core
        self.readv = self._readv

    def prepared(self, local: IoVec, segments: array[int]) -> Callable[[], int]:
        return partial(self._copy, local, segments.buffer_info()[0], len(segments) // 2)

    def _readv(self, _pid: int, local: Any, _one: int, segments: int, count: int, _flags: int) -> int:
        return self._copy(local._obj, segments, count)  # what byref() was made of

    def _copy(self, local: IoVec, segments: int, count: int) -> int:
        """As process_vm_readv: into `local`, up to the first byte that is not there; -1 and EFAULT for none at all."""
        read, to, room, got = self._core.read, int(local.base or 0), int(local.len), 0
        words = (ctypes.c_uint64 * (2 * count)).from_address(segments)
        for i in range(count):
            wanted = min(words[2 * i + 1], room - got)
            data = read(words[2 * i], wanted)
            ctypes.memmove(to + got, data, len(data))
            got += len(data)
            if len(data) < wanted:
                break
        if not got and room:
            ctypes.set_errno(errno.EFAULT)
            return -1
        return got
