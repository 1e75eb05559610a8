"""Semaphores of multiprocessing, asked for at one moment: which processes share one, and whether any of them has it."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping

from concview.cpython.memory import BadAddress, Memory
from concview.errors import TargetError, TargetGone
from concview.linux.mapped import mappings, processes
from concview.model import Semaphore

#: Processes that are asked.
_MOST = 2000


def sharers(keys: Collection[str]) -> dict[str, frozenset[int]]:
    """By 'device:inode+offset' (see `model.Semaphore`): the processes that have it mapped. Costs a look at the mappings
    of every process. A key is left out where one could not be asked that belongs to the same session as those that have
    it: it may have it, too."""
    if not keys:
        return {}
    found: dict[str, set[int]] = {key: set() for key in keys}
    try:
        pids = processes()
    except OSError:
        return {}
    if len(pids) > _MOST:
        return {}
    closed: list[int] = []
    for pid, text in mappings(pids):
        if text is None:
            closed.append(pid)
            continue
        if b"/sem." not in text:
            continue
        for line in text.decode("utf-8", "replace").splitlines():
            fields = line.split(None, 5)
            if len(fields) == 6 and "/sem." in fields[5]:
                key = f"{fields[3]}:{fields[4]}+{int(fields[2], 16)}"
                if key in found:
                    found[key].add(pid)
    unasked = {_session(pid) for pid in closed}
    return {key: frozenset(those) for key, those in found.items() if not unasked & {_session(pid) for pid in those}}


def _session(pid: int) -> int:
    """-pid where it has ended meanwhile."""
    try:
        return os.getsid(pid)
    except OSError:
        return -pid


#: So often, so far apart (seconds), nobody must have it: it passes from one to the other within microseconds.
_TIMES, _APART_S = 5, 0.01


def untaken(rows: Mapping[int, Semaphore]) -> bool:
    """Whether nobody can take it, and none of these processes has: by pid, what each said of one semaphore. What their
    reports say is of different moments; this is of one. False where it cannot be read."""
    try:
        memories = {pid: Memory(pid) for pid in rows}
        for number in range(_TIMES):
            if number:
                time.sleep(_APART_S)
            for pid, row in rows.items():
                memory = memories[pid]
                if memory.int32(row.at) & 0x7FFFFFFF or any(memory.int32(at) > 0 for at in row.counts):
                    return False
    except (BadAddress, TargetError, TargetGone, OSError):
        return False
    return True
