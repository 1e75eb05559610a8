"""The watcher as the tests' process sees it: a child that may look at us, asked over two pipes."""

from __future__ import annotations

import ctypes
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from concview.pytest_plugin import _messages as messages

#: prctl(2): lets this process and its children trace us where the kernel allows that to parents only (Yama).
_PR_SET_PTRACER = 0x59616D61
#: Attaching takes this long at most; every later answer that long.
START_S, ANSWER_S = 30.0, 10.0


class CannotWatch(Exception):
    """One sentence, and the step that would help or ''."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class Client:
    """`start`, then `tell` and `ask`; `on_deadlock` is called in a thread of ours."""

    def __init__(self, on_deadlock: Callable[[messages.Deadlock], None]) -> None:
        self._on_deadlock = on_deadlock
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[messages.Told | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._owner = os.getpid()
        self.engine = ""

    def start(self, rate: float, settings: str | None) -> None:
        """Standard error is passed on as it is now: see that it is the real one. CannotWatch."""
        environment = dict(os.environ)
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(p for p in (root, environment.get("PYTHONPATH", "")) if p)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "concview.pytest_plugin.watcher"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, self._process.pid, 0, 0, 0)
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="concview-watcher", daemon=True
        )
        self._reader.start()
        self.tell(messages.Attach(os.getpid(), rate, settings))
        answer = self._answer(START_S)
        if isinstance(answer, messages.Watching):
            self.engine = answer.engine
            return
        self.close()
        if isinstance(answer, messages.Failed):
            raise CannotWatch(answer.reason, answer.remedy)
        raise CannotWatch("the watcher did not start", "")

    def tell(self, message: messages.Asked) -> None:
        """Nothing where the watcher is gone, or where we are a fork of the tests' process."""
        if self._process is None or self._process.stdin is None or os.getpid() != self._owner:
            return
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            pass

    def ask(self, message: messages.Asked) -> messages.Told | None:
        """The answer; None where none came."""
        if self._process is None or os.getpid() != self._owner:
            return None
        self.tell(message)
        return self._answer(ANSWER_S)

    def close(self) -> None:
        process = self._process
        if process is None or os.getpid() != self._owner:
            return
        self._process = None
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(ANSWER_S)
        if process.stdout is not None:  # left to the collector, it would be a ResourceWarning in somebody's test
            process.stdout.close()

    def _answer(self, seconds: float) -> messages.Told | None:
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self, lines: Iterable[bytes] | None) -> None:
        decoder = msgspec.json.Decoder(messages.Told)
        for line in lines or ():
            message = decoder.decode(line)
            if isinstance(message, messages.Deadlock):
                self._on_deadlock(message)
            else:
                self._answers.put(message)
        self._answers.put(None)
