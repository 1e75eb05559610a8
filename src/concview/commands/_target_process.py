"""A target that we started: it never outlives us, and what it prints never reaches the dashboard's screen."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from concview.commands.base import CommandError, Exit

#: Colours and titles that a target sends to its terminal: left out, where any other control character is shown.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_T = TypeVar("_T")
_PR_SET_PDEATHSIG = 1
#: What a target printed is kept up to this size; older output is dropped (with --output the file has it all).
RING_BYTES = 1 << 20
#: After SIGTERM a target has this long before SIGKILL.
GRACE_S = 2.0
_prctl = ctypes.CDLL(None).prctl
_spawner: ThreadPoolExecutor | None = None


def in_lasting_thread(function: Callable[[], _T]) -> _T:
    """Run `function` in a thread that lives as long as the program.

    The kernel sends the parent-death signal when the *thread* that made the child ends: a child made in a short-lived
    worker of the dashboard would be killed with that worker.
    """
    global _spawner
    if threading.current_thread() is threading.main_thread():
        return function()
    if _spawner is None:
        _spawner = ThreadPoolExecutor(1, "concview-spawner")
    return _spawner.submit(function).result()


def _die_with(parent: int) -> None:
    """In the child, before exec: the kernel kills it when we die, however we die."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # we died before it was asked for
        os._exit(1)


class Ring:
    """The last bytes that were printed."""

    def __init__(self, limit: int = RING_BYTES) -> None:
        self._limit = limit
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()
        self.dropped = 0
        self.written = 0  #: bytes so far, the dropped ones included

    def add(self, data: bytes) -> None:
        with self._lock:
            self._parts.append(data)
            self._size += len(data)
            self.written += len(data)
            while self._size > self._limit:
                gone = len(self._parts.popleft())
                self._size -= gone
                self.dropped += gone

    def lines(self, last: int = 1000) -> list[str]:
        """The last lines, cleaned. The first may be cut."""
        from concview.text import clean

        with self._lock:
            data = b"".join(self._parts)
        rows = (_ESCAPES.sub("", row.rstrip()) for row in data.decode("utf-8", "replace").split("\n")[-last - 1 :])
        return [clean(row, 2000) for row in rows if row]


class Child:
    """A running target. `close()` ends it and everything in its process group."""

    def __init__(
        self,
        command: list[str],
        output: Path | None = None,
        headless: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Start it. `headless`: what it prints goes to our standard error, or to `output`; otherwise to the ring
        and to `output`. `environment`: None is ours. CommandError when it cannot be started."""
        self.command = command
        self.ring = Ring()
        self._file: BinaryIO | None = None
        self.file_error = ""
        if output is not None:
            try:
                self._file = output.open("wb")
            except OSError as error:
                raise CommandError(f"{output}: {error.strerror}", Exit.OUTPUT) from None
        sink: BinaryIO | int = subprocess.PIPE
        if headless:
            sink = self._file or sys.stderr.fileno()
        # A dashboard owns the terminal; so does the shell of a headless run, whose session the target leaves.
        quiet_input = not headless or sys.stdin is None or sys.stdin.isatty()
        try:
            self._popen = in_lasting_thread(
                lambda: subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL if quiet_input else None,
                    stdout=sink,
                    stderr=subprocess.STDOUT if not headless else None,
                    start_new_session=True,
                    preexec_fn=partial(_die_with, os.getpid()),
                    env=environment,
                )
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CommandError(f"{command[0]}: cannot be started: {reason}", Exit.USAGE) from None
        self.pid = self._popen.pid
        self._status: int | None = None
        self._closed = self._by_itself = False
        self._ended = threading.Event()
        self._drained = threading.Event()
        threading.Thread(target=self._watch, name="concview-child", daemon=True).start()
        if self._popen.stdout is not None:
            threading.Thread(target=self._drain, name="concview-output", daemon=True).start()
        else:
            self._drained.set()

    def _watch(self) -> None:
        # Not reaped yet: while it is a zombie its number, and its group's, belong to nobody else.
        with contextlib.suppress(ChildProcessError):
            done = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            if done is not None:
                killed = done.si_code != os.CLD_EXITED
                self._status = 128 + done.si_status if killed else done.si_status
        self._ended.set()

    def _drain(self) -> None:
        assert self._popen.stdout is not None
        descriptor = self._popen.stdout.fileno()
        with contextlib.suppress(OSError):
            while data := os.read(descriptor, 65536):
                self.ring.add(data)
                if self._file is not None and not self.file_error:
                    try:
                        self._file.write(data)
                        self._file.flush()
                    except OSError as error:  # told at the end; the target must not block on us
                        self.file_error = error.strerror or str(error)
        self._drained.set()

    @property
    def ended_by_itself(self) -> bool:
        """It had ended before we ended it."""
        return self._by_itself

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it ended; whether it did."""
        return self._ended.wait(seconds)

    def wait_for_line(self, line: str, seconds: float) -> bool:
        """Wait until it printed `line` (only when its output goes to the ring)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if line in self.ring.lines():
                return True
            if self.wait(0.02):
                self._drained.wait(0.5)
                return line in self.ring.lines()
        return False

    def close(self) -> int:
        """End it if it runs; its exit code as a shell would give it (128 + the signal that killed it)."""
        if self._closed:
            return self._code()
        self._closed, self._by_itself = True, self._ended.is_set()
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Also when the target itself is gone: the rest of its group goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
            # SIGCONT: a stopped process does not see SIGTERM.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGCONT)
            if self._ended.wait(GRACE_S):
                break
        self._drained.wait(0.5)
        if self._ended.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        return self._code()

    def _code(self) -> int:
        return self._status if self._status is not None else 128 + signal.SIGKILL


def python_command(rest: list[str], python: str) -> list[str]:
    """The command line for what stands behind `run` or `check --`: a script, '-m MODULE', or any command."""
    first = rest[0]
    if first == "-m":
        if len(rest) < 2:
            raise CommandError("-m needs the name of a module", Exit.USAGE)
        return [python, *rest]
    path = Path(first)
    if path.is_dir() or (path.is_file() and (path.suffix in (".py", ".pyw", ".pyz") or not os.access(path, os.X_OK))):
        return [python, *rest]
    if path.is_file() or shutil.which(first):
        return rest
    raise CommandError(f"{first}: no such script or command", Exit.USAGE)
