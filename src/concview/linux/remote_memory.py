"""Reading another process's memory: the few bytes that system call arguments point to."""

from __future__ import annotations

import ctypes
import errno
import os


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
#: Largest single read: arguments are small, and an address read from a hostile target must not cost us memory.
MAX_READ = 1 << 16


def read_memory(pid: int, address: int, size: int) -> bytes:
    """`size` bytes at `address`, fewer when the mapping ends before. OSError: EPERM, ESRCH, EFAULT, ENOSYS.

    The target is not stopped: what is read can change under the read.
    """
    size = min(size, MAX_READ)
    buffer = ctypes.create_string_buffer(size)
    local = _Iovec(ctypes.addressof(buffer), size)
    remote = _Iovec(address, size)
    try:
        function = _libc.process_vm_readv
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    done: int = function(
        ctypes.c_int(pid),
        ctypes.byref(local),
        ctypes.c_ulong(1),
        ctypes.byref(remote),
        ctypes.c_ulong(1),
        ctypes.c_ulong(0),
    )
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[:done]
