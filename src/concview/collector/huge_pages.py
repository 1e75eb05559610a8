"""Our own heap and the interpreter's code on large pages.

Between two samples other programs use the caches and the tables of addresses (TLB): a sample touches some hundred pages
of 4 KiB, each of which costs another look into the page tables. On pages of 2 MiB it took 3 to 5 % less CPU time
(x86-64 in a virtual machine, 100 Hz). Only where there is such a thing (Linux 6.1, MADV_COLLAPSE); else nothing
changes.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_SIZE = 2 << 20
#: include/uapi/asm-generic/mman-common.h
_MADV_COLLAPSE = 25
#: Bytes that are moved at most: a heap that is larger has not all of it in use at each sample.
MOST = 16 << 20


def collapse(heap: bool = True) -> int:
    """Bytes that lie on large pages now, as far as we asked for it. Takes some milliseconds. Without `heap` the code
    alone: what lies on a large page is no longer shared with the one that forked us (6 MB a process)."""
    try:
        advise = ctypes.CDLL(None).madvise
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
    except (OSError, AttributeError):
        return 0
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    done = 0
    for start, end in filter(None, (_wanted(line, heap) for line in lines)):
        size = min(end - start, MOST - done) // _SIZE * _SIZE
        if size > 0 and advise(start, size, _MADV_COLLAPSE) == 0:
            done += size
    return done


def _wanted(line: str, with_heap: bool = True) -> tuple[int, int] | None:
    """The part of a mapping that large pages can hold: of the heap, and of the interpreter's code."""
    fields = line.split(None, 5)
    path = fields[5] if len(fields) > 5 else ""
    heap = with_heap and fields[1] == "rw-p" and path in ("", "[heap]")
    code = fields[1] == "r-xp" and "python" in path.rpartition("/")[2]
    if not heap and not code:
        return None
    first, _, last = fields[0].partition("-")
    start, end = -(-int(first, 16) // _SIZE) * _SIZE, int(last, 16) // _SIZE * _SIZE
    return (start, end) if start < end else None
