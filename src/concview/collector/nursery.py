"""A process that has imported the collector and waits: for every process to watch it forks one, ready to begin.

Starting an interpreter and importing takes ten times as long as attaching, for each of the processes below a master
again. What was imported is shared by all (copy on write). It starts no thread, so a fork finds everything in order.

Run as `python -m concview.collector --nursery FD`: a socket (AF_UNIX, SOCK_SEQPACKET) on which each message is a JSON
list, a collector's arguments, with four descriptors: its standard input, output and errors, and a socket of the same
kind on which the nursery tells what becomes of it: `{"pid": N}`, then `{"code": N}` (negative: the signal), once. A
message on that one, or that it is closed, ends the collector (SIGKILL). When the nursery's own socket is closed it
ends, and what it has started is told to (SIGTERM, by the kernel).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

#: A request's length at most, bytes.
MOST = 65_536
DESCRIPTORS = 4

Main = Callable[[list[str]], int]


@dataclass
class _Child:
    status: socket.socket
    killed: bool = False

    def tell(self, what: str, number: int) -> None:
        with contextlib.suppress(OSError):  # who asked for it has gone
            self.status.send(json.dumps({what: number}).encode())


def serve(fd: int, main: Main) -> int:
    """Until the socket is closed. `main` is what a collector is."""
    requests = socket.socket(fileno=fd)
    children: dict[int, _Child] = {}
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # What has been made so far belongs to all: a collection must not write into it.
    gc.collect()
    gc.freeze()
    while True:
        poll = select.poll()
        for each in (requests.fileno(), woken, *(c.status.fileno() for c in children.values() if not c.killed)):
            poll.register(each, select.POLLIN)
        ready = {found for found, _ in poll.poll()}
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            _collect(children)
        for pid, child in children.items():
            if not child.killed and child.status.fileno() in ready:
                child.killed = True
                with contextlib.suppress(OSError):
                    child.status.recv(64)  # what is left unread would take the answer along
                os.kill(pid, signal.SIGKILL)  # the number is its own until it has been collected, which only we do
        if requests.fileno() in ready:
            data, fds, _, _ = socket.recv_fds(requests, MOST, DESCRIPTORS)
            if not data:
                return 0
            arguments: list[str] = json.loads(data)
            status = socket.socket(fileno=fds[3])
            try:
                pid = os.fork()
            except OSError:
                status.close()  # said by closing it: it has no number
                pid = -1
            if not pid:
                for one in (requests, status, *(c.status for c in children.values())):
                    one.close()
                os.close(woken)
                os.close(wake)
                _be(main, arguments, fds[:3])
            for each in fds[:3]:
                os.close(each)
            if pid > 0:
                children[pid] = _Child(status)
                children[pid].tell("pid", pid)


def _collect(children: dict[int, _Child]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            child = children.pop(pid)
            child.tell("code", os.waitstatus_to_exitcode(status))
            child.status.close()


def _be(main: Main, arguments: list[str], standard: list[int]) -> NoReturn:
    """The forked one becomes a collector, as if it had been started by itself."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A session of its own, as one has that is started alone.
        os.setsid()
        for wanted, fd in enumerate(standard):
            os.dup2(fd, wanted)
        for fd in standard:
            if fd > 2:
                os.close(fd)
        code = main([*arguments, "--forked"])
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)
