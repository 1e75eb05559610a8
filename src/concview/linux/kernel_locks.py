"""File locks as the kernel lists them in /proc/locks: who has one, who waits for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_TABLE = 4 << 20
MAX_PROCESSES = 4096
_KINDS = {"FLOCK": "flock", "POSIX": "posix", "OFDLCK": "ofd"}


@dataclass(slots=True)
class KernelLock:
    """One lock that is held. `holder` as this mount of /proc numbers processes; 0 where it is none of these, -1 for an
    open file description's lock, which belongs to no process."""

    kind: str
    mode: str
    holder: int
    device: str  #: 'fe:01'
    inode: int
    start: int
    end: int  #: -1: to the end of the file
    waiters: list[int] = field(default_factory=list)  #: pids


def held(text: str) -> list[KernelLock]:
    """All locks of the table.

    Lines: '1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF', and of those that wait for it
    '1: -> FLOCK  ADVISORY  WRITE 1235 fe:01:5678 0 EOF'.
    """
    locks: list[KernelLock] = []
    by_number: dict[str, KernelLock] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 8:
            continue
        try:
            if fields[1] == "->":
                holder = by_number.get(fields[0])
                if holder is not None and len(fields) >= 9:
                    holder.waiters.append(int(fields[5]))
                continue
            if fields[1] not in _KINDS:
                continue  # a lease
            device, _, inode = fields[5].rpartition(":")
            end = -1 if fields[7] == "EOF" else int(fields[7])
            lock = KernelLock(_KINDS[fields[1]], fields[3], int(fields[4]), device, int(inode), int(fields[6]), end)
        except (ValueError, IndexError):
            continue
        locks.append(lock)
        by_number[fields[0]] = lock
    return locks


def read() -> list[KernelLock]:
    """OSError where the table cannot be read."""
    with open("/proc/locks", "rb") as file:
        return held(file.read(MAX_TABLE).decode("ascii", "replace"))


def holding_fds(pid: int, fds: list[int]) -> list[int]:
    """Those of a process's descriptors whose open file has a lock: fdinfo lists them."""
    found = []
    for fd in fds:
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
                if b"\nlock:" in file.read(4096):
                    found.append(fd)
        except OSError:
            continue
    return found


def descriptor(pid: int, inode: int, known: int = -1) -> int:
    """The descriptor of a process with the open file whose lock on `inode` it is; -1: it has none. The table names the
    one that took an flock, also after that one has ended, or closed the file, while a child that inherited the
    descriptor keeps the lock. All descriptors are looked through (some 3 microseconds each), unless the `known` one
    still is the one."""
    if known >= 0 and _leads_to(pid, str(known), inode) and holding_fds(pid, [known]):
        return known
    return next(iter(holding_fds(pid, same_file(pid, inode))), -1)


def hidden(pid: int) -> bool:
    """Whether a process is there, and what it has open may not be seen."""
    return os.path.exists(f"/proc/{pid}") and not os.access(f"/proc/{pid}/fd", os.R_OK)  # noqa: PTH110


def heirs(inode: int, limit: int = MAX_PROCESSES) -> list[int]:
    """All processes that have such a `descriptor`, of those that may be looked at."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []
    return [pid for pid in sorted(pids)[:limit] if descriptor(pid, inode) >= 0]


def same_file(pid: int, inode: int, limit: int = 4096) -> list[int]:
    """Descriptors of a process that lead to that inode."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")[:limit]  # noqa: PTH208
    except OSError:
        return []
    return [int(name) for name in names if _leads_to(pid, name, inode)]


def _leads_to(pid: int, fd: str, inode: int) -> bool:
    return inode_of(pid, fd) == inode


def link(pid: int, fd: int | str = "") -> str:
    """The path behind a descriptor of a process, or of its current folder; ''."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}" if fd != "" else f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return ""


def locked(holders: Iterable[int], paths: Iterable[str], inodes: set[int], limit: int = 4096) -> list[tuple[str, int]]:
    """(path, inode) of those of the paths that one of these processes has open, where that is one of these files. By
    their names: nothing is asked of a file system. `limit`: descriptors, of all processes."""
    wanted, left = set(paths), limit
    found: dict[tuple[str, int], None] = {}
    for pid in holders:
        try:
            names = os.listdir(f"/proc/{pid}/fd")[:left]  # noqa: PTH208
        except OSError:
            continue
        left -= len(names)
        for name in names:
            path = link(pid, name)
            if path in wanted and (inode := inode_of(pid, name)) in inodes:
                found[path, inode] = None
        if left <= 0:
            break
    return list(found)


def inode_of(pid: int, fd: str | int) -> int:
    """Of the file that a descriptor leads to, as the kernel's table of locks numbers it (on whatever device: overlays
    number theirs anew); 0 not known. Read from fdinfo: a stat would ask the server of a remote file system, and wait
    with everybody else where that does not answer."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
            told = file.read(512).partition(b"\nino:")[2].split(maxsplit=1)
        return int(told[0]) if told else os.stat(f"/proc/{pid}/fd/{fd}").st_ino  # noqa: PTH116 - before Linux 5.14
    except (OSError, ValueError):
        return 0
