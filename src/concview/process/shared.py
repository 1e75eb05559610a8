"""Which semaphore a lock of multiprocessing is: what processes share is the mapping it lies in, not the address."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable

from concview.cpython.heap.objects import HeapObjects
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.objects import Objects
from concview.cpython.runtime import find, layout
from concview.errors import TargetError, TargetGone

#: Locks of one process that are looked at.
MOST = 64
_MOST_MAPS = 4 << 20


def semaphores(pid: int, locks: Iterable[int]) -> dict[int, str]:
    """Address of a `multiprocessing.synchronize.Lock` (or of its kin, or of a `_multiprocessing.SemLock`) -> what names
    its semaphore in every process that shares it: device, inode and offset. What cannot be read is left out."""
    found: dict[int, str] = {}
    wanted = list(dict.fromkeys(locks))[:MOST]
    if not wanted:
        return found
    try:
        memory = Memory(pid)
        offsets = layout(memory, find(memory))
        objects = HeapObjects(memory, offsets) if offsets.heap_frames else Objects(memory, offsets)
        shared = _shared(pid)
        for address in wanted:
            with contextlib.suppress(BadAddress, struct.error, KeyError):
                semlock = address
                if objects.type_name(address) != "SemLock" and not objects.type_name(address).endswith(".SemLock"):
                    semlock = objects.attribute(address, "_semlock") or 0
                handle = memory.word(semlock + offsets.header) if semlock else 0
                for start, end, offset, name in shared:
                    if start <= handle < end:
                        found[address] = f"{name}+{handle - start + offset}"
    except (TargetError, TargetGone, OSError, BadAddress):
        pass
    return found


def _shared(pid: int) -> list[tuple[int, int, int, str]]:
    """Writable shared mappings: (start, end, offset in the file, 'device:inode')."""
    found = []
    with open(f"/proc/{pid}/maps", "rb") as file:
        text = file.read(_MOST_MAPS).decode("utf-8", "replace")
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) >= 5 and fields[1].startswith("rw") and fields[1].endswith("s") and fields[4] != "0":
            start, _, end = fields[0].partition("-")
            found.append((int(start, 16), int(end, 16), int(fields[2], 16), f"{fields[3]}:{fields[4]}"))
    return found
