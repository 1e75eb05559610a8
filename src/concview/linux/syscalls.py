"""System call numbers, and what each call's arguments mean to somebody who asks why a thread is blocked.

Numbers: arch/x86/entry/syscalls/syscall_64.tbl (x86-64) and include/uapi/asm-generic/unistd.h (aarch64) of the
kernel sources. Calls that never block for long are left out; they show up as 'syscall N'.
"""

from __future__ import annotations

import os
from enum import Enum, auto


class Shape(Enum):
    """How to read a call's arguments."""

    FD = auto()  #: blocks on the descriptor in the first argument
    SYNC = auto()  #: writes a descriptor back to its disk; always an uninterruptible wait
    FLOCK = auto()  #: waits for a lock on a file
    FCNTL = auto()  #: waits for a file lock for two commands, otherwise never blocks
    POLL = auto()  #: pollfd array, count, milliseconds
    PPOLL = auto()  #: pollfd array, count, timespec pointer
    SELECT = auto()  #: number, three fd sets, timeout pointer (select and pselect6 alike)
    EPOLL = auto()  #: epoll descriptor, events, count, milliseconds
    EPOLL2 = auto()  #: epoll descriptor, events, count, timespec pointer
    FUTEX = auto()
    FUTEX_WAITV = auto()
    FUTEX_WAIT = auto()  #: the futex2 call: address, value, mask, flags, timeout, clock
    SLEEP = auto()
    CHILD = auto()  #: wait4: pid in the first argument
    WAITID = auto()  #: idtype, id
    PATH = auto()  #: a path (first argument); may wait for a disk, or for the other end of a FIFO
    PATH_AT = auto()  #: a directory descriptor, then a path
    SYSV = auto()  #: System V: the number of a message queue or of a set of semaphores in the first argument
    RESTART = auto()  #: an interrupted call goes on; which one, only the kernel's wait channel tells
    OTHER = auto()


#: name: (x86-64 number or None, aarch64 number or None, shape)
_TABLE: dict[str, tuple[int | None, int | None, Shape]] = {
    "read": (0, 63, Shape.FD),
    "write": (1, 64, Shape.FD),
    "close": (3, 57, Shape.FD),
    "pread64": (17, 67, Shape.FD),
    "pwrite64": (18, 68, Shape.FD),
    "readv": (19, 65, Shape.FD),
    "writev": (20, 66, Shape.FD),
    "preadv": (295, 69, Shape.FD),
    "pwritev": (296, 70, Shape.FD),
    "preadv2": (327, 286, Shape.FD),
    "pwritev2": (328, 287, Shape.FD),
    "sendfile": (40, 71, Shape.FD),
    "splice": (275, 76, Shape.FD),
    "tee": (276, 77, Shape.FD),
    "vmsplice": (278, 75, Shape.FD),
    "copy_file_range": (326, 285, Shape.FD),
    "ioctl": (16, 29, Shape.FD),
    "lseek": (8, 62, Shape.FD),
    "fstat": (5, 80, Shape.FD),
    "getdents64": (217, 61, Shape.FD),
    "ftruncate": (77, 46, Shape.FD),
    "fallocate": (285, 47, Shape.FD),
    "readahead": (187, 213, Shape.FD),
    "connect": (42, 203, Shape.FD),
    "accept": (43, 202, Shape.FD),
    "accept4": (288, 242, Shape.FD),
    "sendto": (44, 206, Shape.FD),
    "recvfrom": (45, 207, Shape.FD),
    "sendmsg": (46, 211, Shape.FD),
    "recvmsg": (47, 212, Shape.FD),
    "recvmmsg": (299, 243, Shape.FD),
    "sendmmsg": (307, 269, Shape.FD),
    "io_uring_enter": (426, 426, Shape.FD),
    "mq_timedsend": (242, 182, Shape.FD),
    "mq_timedreceive": (243, 183, Shape.FD),
    "fsync": (74, 82, Shape.SYNC),
    "fdatasync": (75, 83, Shape.SYNC),
    "syncfs": (306, 267, Shape.SYNC),
    "sync_file_range": (277, 84, Shape.SYNC),
    "flock": (73, 32, Shape.FLOCK),
    "fcntl": (72, 25, Shape.FCNTL),
    "poll": (7, None, Shape.POLL),
    "ppoll": (271, 73, Shape.PPOLL),
    "select": (23, None, Shape.SELECT),
    "pselect6": (270, 72, Shape.SELECT),
    "epoll_wait": (232, None, Shape.EPOLL),
    "epoll_pwait": (281, 22, Shape.EPOLL),
    "epoll_pwait2": (441, 441, Shape.EPOLL2),
    "futex": (202, 98, Shape.FUTEX),
    "futex_waitv": (449, 449, Shape.FUTEX_WAITV),
    "futex_wait": (455, 455, Shape.FUTEX_WAIT),
    "nanosleep": (35, 101, Shape.SLEEP),
    "clock_nanosleep": (230, 115, Shape.SLEEP),
    "wait4": (61, 260, Shape.CHILD),
    "waitid": (247, 95, Shape.WAITID),
    "restart_syscall": (219, 128, Shape.RESTART),
    "open": (2, None, Shape.PATH),
    "stat": (4, None, Shape.PATH),
    "lstat": (6, None, Shape.PATH),
    "access": (21, None, Shape.PATH),
    "truncate": (76, 45, Shape.PATH),
    "rename": (82, None, Shape.PATH),
    "mkdir": (83, None, Shape.PATH),
    "rmdir": (84, None, Shape.PATH),
    "creat": (85, None, Shape.PATH),
    "unlink": (87, None, Shape.PATH),
    "readlink": (89, None, Shape.PATH),
    "execve": (59, 221, Shape.PATH),
    "openat": (257, 56, Shape.PATH_AT),
    "openat2": (437, 437, Shape.PATH_AT),
    "newfstatat": (262, 79, Shape.PATH_AT),
    "statx": (332, 291, Shape.PATH_AT),
    "faccessat": (269, 48, Shape.PATH_AT),
    "faccessat2": (439, 439, Shape.PATH_AT),
    "mkdirat": (258, 34, Shape.PATH_AT),
    "unlinkat": (263, 35, Shape.PATH_AT),
    "renameat": (264, 38, Shape.PATH_AT),
    "renameat2": (316, 276, Shape.PATH_AT),
    "readlinkat": (267, 78, Shape.PATH_AT),
    "sync": (162, 81, Shape.OTHER),
    "msync": (26, 227, Shape.OTHER),
    "io_getevents": (208, 4, Shape.OTHER),
    "io_pgetevents": (333, 292, Shape.OTHER),
    "semop": (65, 193, Shape.SYSV),
    "semtimedop": (220, 192, Shape.SYSV),
    "msgsnd": (69, 189, Shape.SYSV),
    "msgrcv": (70, 188, Shape.SYSV),
    "mmap": (9, 222, Shape.OTHER),
    "mprotect": (10, 226, Shape.OTHER),
    "munmap": (11, 215, Shape.OTHER),
    "brk": (12, 214, Shape.OTHER),
    "mremap": (25, 216, Shape.OTHER),
    "madvise": (28, 233, Shape.OTHER),
    "membarrier": (324, 283, Shape.OTHER),
    "sched_yield": (24, 124, Shape.OTHER),
    "pause": (34, None, Shape.OTHER),
    "rt_sigtimedwait": (128, 137, Shape.OTHER),
    "rt_sigsuspend": (130, 133, Shape.OTHER),
    "getrandom": (318, 278, Shape.OTHER),
    "clone": (56, 220, Shape.OTHER),
    "clone3": (435, 435, Shape.OTHER),
    "fork": (57, None, Shape.OTHER),
    "vfork": (58, None, Shape.OTHER),
    "exit": (60, 93, Shape.OTHER),
    "exit_group": (231, 94, Shape.OTHER),
    "tgkill": (234, 131, Shape.OTHER),
}

MACHINES = ("x86_64", "aarch64")


def table(machine: str | None = None) -> dict[int, tuple[str, Shape]]:
    """{number: (name, shape)} for a machine as `os.uname().machine` names it; ours by default.

    LookupError for a machine whose numbers are not known here.
    """
    machine = machine or os.uname().machine
    if machine not in MACHINES:
        raise LookupError(f"system call numbers of {machine} are not known (known: {', '.join(MACHINES)})")
    is_arm = machine == "aarch64"
    return {
        number: (name, shape)
        for name, (intel, arm, shape) in _TABLE.items()
        if (number := arm if is_arm else intel) is not None
    }


#: Start of the kernel function a thread sleeps in -> the call that sleeps there: what a restarted call once was.
#: Names as in /proc/TID/wchan of Linux 4.x to 6.x.
RESTARTED: tuple[tuple[str, str], ...] = (
    ("futex", "futex"),
    ("hrtimer_nanosleep", "clock_nanosleep"),
    ("do_nanosleep", "clock_nanosleep"),
    ("poll_schedule", "poll"),
    ("do_sys_poll", "poll"),
    ("do_poll", "poll"),
)
#: futex operations that block and take a timeout pointer as the fourth argument (include/uapi/linux/futex.h):
#: WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2. The low seven bits; the rest are flags.
FUTEX_WAITS = frozenset({0, 6, 9, 11, 13})
FUTEX_COMMAND_MASK = 0x7F
#: fcntl commands that wait for a lock (include/uapi/asm-generic/fcntl.h): F_SETLKW, F_OFD_SETLKW.
FCNTL_WAITS = frozenset({7, 38})
#: waitid's idtype for a pidfd and for a pid (include/uapi/linux/wait.h).
P_PID, P_PIDFD = 1, 3
