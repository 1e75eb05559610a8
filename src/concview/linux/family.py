"""Threads and children of a process, as the kernel lists them."""

from __future__ import annotations

import contextlib
import os

import psutil

#: Children of so many threads are asked for thread by thread in any case; of more, where that is cheaper than to read
#: of every process who its parent is: of one process that takes as long as of so many threads.
MAX_PARENT_THREADS, THREADS_PER_PROCESS = 100, 3


def os_threads(pid: int) -> list[int]:
    """Thread ids of a process as the kernel lists them; empty when it is gone. 6-16 µs."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 - a Path each costs too much
    except OSError:
        return []


def thread_count(folder: str) -> int:
    """How many threads there are, of a process's folder in /proc; 0 when it is gone. 2 µs, however many there are: the
    kernel gives the folder of its threads two links, and one for each of them."""
    try:
        return os.stat(f"{folder}/task").st_nlink - 2  # noqa: PTH116
    except OSError:
        return 0


def _processes() -> int:
    """How many processes there are, nearly: the kernel gives /proc a link for each. 0 where that cannot be told."""
    try:
        return os.stat("/proc").st_nlink  # noqa: PTH116
    except OSError:
        return 0


def children_of(pid: int) -> list[int]:
    """Pids of the children of a process, threads' included. A few µs a thread; psutil reads every process there is."""
    tasks = os_threads(pid)
    if len(tasks) <= MAX_PARENT_THREADS or len(tasks) <= THREADS_PER_PROCESS * _processes():
        children: list[int] = []
        try:
            for tid in tasks:
                fd = os.open(f"/proc/{pid}/task/{tid}/children", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    while part := os.read(fd, 65536):  # whole numbers, each with a space behind it
                        children += map(int, part.split())
                finally:
                    os.close(fd)
            return sorted(children)
        except (OSError, ValueError):
            pass  # no CONFIG_PROC_CHILDREN, or a thread ended just now
    with contextlib.suppress(psutil.Error):
        return sorted(child.pid for child in psutil.Process(pid).children())
    return []
