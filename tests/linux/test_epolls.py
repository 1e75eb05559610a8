"""What leads out of a process among what one of its threads waits for at an epoll: asked of this very process."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
import time

import pytest

from concview.linux.epolls import EpollWaits, members, processes
from concview.linux.process_facts import facts_of


@pytest.mark.parametrize(
    ("watches", "seconds", "outside"),
    [
        ("", -1, 0),
        ("listening", -1, 1),
        ("a second eventfd", -1, 1),  # a child, or a C library's thread, may write to it
        ("half of a pipe", -1, 1),
        ("half of a pair", -1, 1),
        ("pipe that a child has, too", -1, 1),  # a child that was forked, or given it, may write into it
        ("pair that a child has, too", -1, 1),
        ("a copy of half of a pipe", -1, 1),  # the other end is what counts, not a second descriptor of this one
        ("", 100, -1),  # it may have a timer
    ],
)
def test_what_may_end_a_wait(watches: str, seconds: int, outside: int) -> None:
    with contextlib.ExitStack() as stack:
        woken, epoll = os.eventfd(0, os.EFD_CLOEXEC), stack.enter_context(select.epoll())
        pipe, pair = os.pipe(), socket.socketpair()
        fds = [woken, pipe[0], pair[0].fileno()]
        closing = {woken, *pipe}
        stack.callback(_close, closing)
        for one in pair:
            stack.enter_context(one)
        if watches == "listening":
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            fds.append(server.fileno())
        elif "eventfd" in watches:
            fds.append(os.eventfd(0, os.EFD_CLOEXEC))
            closing.add(fds[-1])
        elif watches:
            child = _kept_by_a_child(pipe[1] if "pipe" in watches else pair[1].fileno())
            stack.callback(_ended, child)
            if "copy" in watches:
                closing.add(os.dup(pipe[0]))
            if "too" in watches:
                pass
            elif "pipe" in watches:
                os.close(pipe[1])
                closing.remove(pipe[1])
            else:
                pair[1].close()
        for fd in fds:
            epoll.register(fd, select.EPOLLIN)
        waiting = threading.Thread(target=epoll.poll, args=(seconds,))
        waiting.start()
        try:
            waits, tid = EpollWaits(facts_of(os.getpid())), waiting.native_id or 0
            assert members(f"/proc/{os.getpid()}", epoll.fileno()) == set(fds)
            deadline = time.monotonic() + 30
            while waits._epoll(tid) < 0 and seconds < 0 and time.monotonic() < deadline:
                time.sleep(0.001)
            assert waits.outside(tid) == outside
            assert waits.outside(threading.get_native_id()) == -1
        finally:
            os.eventfd_write(woken, 1)
            waiting.join()


def _kept_by_a_child(fd: int) -> int:
    """Pid of a child that has nothing but that descriptor, and waits."""
    return os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, fd, 9)])


def _close(fds: set[int]) -> None:
    for fd in fds:
        os.close(fd)


def _ended(pid: int) -> None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_which_processes_an_epoll_waits_for() -> None:
    with subprocess.Popen(["sleep", "60"]) as child, select.epoll() as epoll:
        fd = os.pidfd_open(child.pid)
        try:
            read, write = os.pipe()
            epoll.register(read, select.EPOLLIN)
            assert processes("/proc/self", epoll.fileno()) == []
            epoll.register(fd, select.EPOLLIN)
            assert processes("/proc/self", epoll.fileno()) == [fd]
            os.close(read)
            os.close(write)
        finally:
            os.close(fd)
            child.kill()
