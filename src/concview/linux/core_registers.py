"""What a thread's registers in a core file say, by machine: NT_PRSTATUS has them at byte 112 in the kernel's order.

A thread that was blocked in a call when the process was stopped has been told to begin it anew, and how that shows
differs. x86-64 (`arch/x86/kernel/signal.c`): the call's answer still says so, and its number stands beside it. aarch64
(`arch/arm64/kernel/signal.c`): answer and instruction pointer are already those of before the call, so that the next
instruction is the call's, `svc #0`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

AT_REGISTERS = 112

#: (number of the call, its six arguments)
Call = tuple[int, tuple[int, ...]]
#: Up to so many bytes at an address: what there is.
Read = Callable[[int, int], bytes]

#: What a call gives back that was blocked when the process was stopped: it is to be begun anew (ERESTARTSYS,
#: ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK of include/linux/errno.h), or ends, as epoll_wait does (EINTR).
_EINTR = (1 << 64) - 4
_INTERRUPTED = frozenset({_EINTR, *((1 << 64) - number for number in (512, 513, 514, 516))})
_SVC = 0xD4000001.to_bytes(4, "little")
#: In the place of an argument that is not there any more.
_LOST = (1 << 64) - 1


class Machine(NamedTuple):
    name: str  #: as `os.uname().machine`
    registers: struct.Struct
    stack_pointer: int  #: which of the registers
    instruction: int
    base: int  #: the one that leads to the thread's own data; -1 where a note of its own has it (NT_ARM_TLS)
    call: Callable[[tuple[int, ...], Read], Call | None]


def _x86_64(registers: tuple[int, ...], read: Read) -> Call | None:
    """None: in its own code, or in a call that was not blocked."""
    r10, r9, r8, rax, rdx, rsi, rdi, original = (registers[i] for i in (7, 8, 9, 10, 12, 13, 14, 15))
    if original >= 1 << 63 or rax not in _INTERRUPTED:
        return None
    return original, (rdi, rsi, rdx, r10, r8, r9)


def _aarch64(registers: tuple[int, ...], read: Read) -> Call | None:
    """As above. LookupError where its code cannot be read, which alone tells."""
    counter, (first, *others) = registers[32], registers[:6]
    code = read(counter - 4, 8)
    if len(code) < 8:
        raise LookupError("the code that the thread was in is not there")
    if code[4:] == _SVC:
        return registers[8], (first, *others)
    if code[:4] == _SVC and first == _EINTR:
        return registers[8], (_LOST, *others)  # the answer stands where the first argument was
    return None


#: By e_machine. user_regs_struct of x86-64; user_pt_regs of aarch64: x0 to x30, sp, pc, pstate.
MACHINES = {
    62: Machine("x86_64", struct.Struct("<27Q"), 19, 16, 21, _x86_64),
    183: Machine("aarch64", struct.Struct("<34Q"), 31, 32, -1, _aarch64),
}
