"""Collectors of our own: each started alone, or forked by one that has everything imported (`collector.nursery`)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

#: A nursery has begun, and forks, within this time, seconds; it has ended so long after it was told.
_BEGIN_S, _END_S = 20.0, 5.0


class Launcher(Protocol):
    def launch(self, arguments: list[str]) -> Running:
        """A collector with these arguments."""
        ...


class Running(Protocol):
    """A collector. As of subprocess.Popen: `wait` returns its exit code, or raises subprocess.TimeoutExpired."""

    pid: int

    @property
    def stdin(self) -> BinaryIO: ...

    @property
    def stdout(self) -> BinaryIO: ...

    @property
    def stderr(self) -> BinaryIO: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    # Run as a module from wherever this package is, also when it is not installed.
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(p for p in (root, environment.get("PYTHONPATH", "")) if p)
    return environment


_COMMAND = (sys.executable, "-m", "concview.collector")


class Alone:
    """Starts one at a time, each with an interpreter of its own."""

    def launch(self, arguments: list[str]) -> Running:
        # A session of its own: where the kernel shares the CPUs out by session (sched_autogroup), two that both wake up
        # often starve each other on a full machine; the collector was seen to wait for 3 s behind the screen.
        return subprocess.Popen(  # type: ignore[return-value]
            [*_COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )


class Nursery:
    """Forks them from one that is ready. Where that does not work any more (it was killed, there is no memory), each is
    started alone. Any method may be called from any thread; after `close`, those that still run are told to end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def launch(self, arguments: list[str]) -> Running:
        try:
            return _Forked(self._ask, arguments)
        except OSError:
            return Alone().launch(arguments)

    def _ask(self, data: bytes, fds: list[int]) -> None:
        with self._lock:
            if self._socket is None:
                if self._closed:
                    raise OSError("closed")
                self._begin()
            assert self._socket is not None
            socket.send_fds(self._socket, [data], fds)

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Not told to end with the thread that starts it, as collectors are: with our end of the socket it ends.
            self._process = subprocess.Popen(
                [*_COMMAND, "--nursery", str(theirs.fileno())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=_environment(), start_new_session=True, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        self._socket = ours

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Forked:
    """One that the nursery has forked; OSError where it could not."""

    def __init__(self, ask: Callable[[bytes, list[int]], None], arguments: list[str]) -> None:
        self._status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._code: int | None = None
        self._lock = threading.Lock()
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        (their_in, our_in), (our_out, their_out), (our_err, their_err) = pipes
        try:
            try:
                ask(json.dumps(arguments).encode(), [their_in, their_out, their_err, theirs.fileno()])
            finally:
                theirs.close()
                for fd in (their_in, their_out, their_err):
                    os.close(fd)
            self._status.settimeout(_BEGIN_S)
            told = self._status.recv(64)
            if not told:
                raise OSError("it could not be forked")
        except OSError:
            self._status.close()
            for fd in (our_in, our_out, our_err):
                os.close(fd)
            raise
        self.pid: int = json.loads(told)["pid"]
        self.stdin: BinaryIO = open(our_in, "wb")  # noqa: SIM115 - as long as it runs
        self.stdout: BinaryIO = open(our_out, "rb")  # noqa: SIM115
        self.stderr: BinaryIO = open(our_err, "rb")  # noqa: SIM115

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if self._code is None:
                poll = select.poll()  # numbers above 1023, too
                poll.register(self._status, select.POLLIN)
                if not poll.poll(None if deadline is None else 1000 * max(0.0, deadline - time.monotonic())):
                    raise subprocess.TimeoutExpired("collector", timeout or 0.0)
                told = b""
                for _ in range(2):  # a reset comes ahead of what has arrived before it
                    with contextlib.suppress(OSError):
                        told = self._status.recv(64)
                        break
                # A nursery that has ended tells nothing any more, and what it started ends with it.
                self._code = int(json.loads(told)["code"]) if told else 1
                self._status.close()
            return self._code

    def kill(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._code is None:
                self._status.send(b"kill")
