"""Where the fields lie that a request is written to. Offsets in bytes.

3.8 to 3.13, x86-64 with glibc: printed by a C program compiled against each version's internal headers (3.8.18,
3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0), and tried on 3.11.2 and 3.13.18, too. 3.14 and newer describe themselves in
`_Py_DebugOffsets`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from concview.cpython.offsets import COOKIE


@dataclass(frozen=True, slots=True)
class Ring:
    """`struct _pending_calls` of one version, and how its owner is told to look.

    `pending` and `breaker` are offsets from `_PyRuntime` when `in_runtime`, else from the main interpreter; with
    `breaker` -1 there is one in every thread state.
    """

    main: int  #: pointer to the main interpreter, from `_PyRuntime`
    finalizing: int  #: not 0 once the interpreter is being taken down, from `_PyRuntime`
    pending: int
    breaker: int
    calls: int
    first: int
    last: int
    todo: int
    entry: int  #: size of one entry
    count: int  #: entries in the ring
    in_runtime: bool = False
    main_only: bool = True  #: only the main thread runs what is in it


RINGS: dict[tuple[int, int], Ring] = {
    (3, 8): Ring(40, 16, 600, 592, 24, 536, 540, 16, 16, 32, in_runtime=True),
    (3, 9): Ring(40, 16, 80, 72, 16, 528, 532, 8, 16, 32),
    (3, 10): Ring(40, 16, 80, 68, 16, 528, 532, 8, 16, 32),
    (3, 11): Ring(48, 24, 112, 100, 16, 528, 532, 8, 16, 32),
    (3, 12): Ring(48, 24, 400, 368, 24, 536, 540, 16, 16, 32, main_only=False),
    # Its fields before the ring differ between patch releases; the main interpreter's ring does not.
    (3, 13): Ring(640, 0, 32, -1, 24, 7224, 7228, 12, 24, 300, main_only=False),
}

#: Bits of a thread state's eval-breaker, 3.13 and newer (pycore_ceval.h): signals, pending calls, an exception from
#: outside. The byte is read, changed and written back while the target may set a bit in between; so those that would be
#: missed are always set: each only makes the thread look, and find nothing.
LOOK = 2 | 4 | 8
#: The request to let the GIL go, on the contrary, is never written: a thread that sees it waits until another one has
#: taken the GIL, for ever when nobody wants it. One that gets lost is repeated by its sender after 5 ms.
_DROP_GIL = 1
STOP = 32  #: what `sys.remote_exec` sets
BREAKER_313 = 24  #: offset of the eval-breaker in a thread state of 3.13


def looking(flags: int, more: int = 0) -> bytes:
    """The lowest byte of an eval-breaker with what makes its thread look."""
    return bytes([flags & ~_DROP_GIL | LOOK | more])


@dataclass(frozen=True, slots=True)
class DebuggerSupport:
    """`_Py_DebugOffsets.debugger_support` (PEP 768). Offsets from a thread state, except `enabled` (interpreter)."""

    eval_breaker: int
    support: int
    enabled: int
    pending: int
    path: int
    path_size: int


def debugger_support(head: bytes) -> DebuggerSupport | None:
    """From the start of `_PyRuntime` (2 KiB). None where Python has no such interface.

    Found by its shape, six words of which three are fixed by PEP 768's struct (pending call 0, path 4, 512 bytes), so
    that versions to come are not excluded.
    """
    if head[:8] != COOKIE:
        return None
    words = struct.unpack(f"<{len(head) // 8}Q", head[: len(head) & ~7])
    for i in range(5, len(words)):
        breaker, support, enabled, pending, path, size = words[i - 5 : i + 1]
        if (pending, path, size) == (0, 4, 512) and 0 < breaker < 4096 and 0 < support < 1 << 16 and enabled < 1 << 20:
            return DebuggerSupport(breaker, support, enabled, pending, path, size)
    return None
