"""A program in a pseudo-terminal of its own: what it draws is read, timed and thrown away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

SIZE = (50, 160)
CONCVIEW = (sys.executable, "-m", "concview")


class Terminal:
    """`marks`: words to wait for; `seen` says when each was first sent, in seconds since the start, and `spent` how
    much CPU the program's own process had used by then."""

    def __init__(self, command: Sequence[str], marks: Sequence[str] = ()) -> None:
        self._waiting = {mark: mark.encode() for mark in marks}
        self.seen: dict[str, float] = {}
        self.spent: dict[str, float] = {}
        self.received = 0
        self._text = b""
        self._watch: tuple[bytes, ...] = ()
        self.watched = 0.0
        self.started = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(command[0], list(command))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                select.select([self._fd], [], [])
                data = os.read(self._fd, 1 << 16)
            except OSError:
                return
            now = time.monotonic()
            if not data:
                return
            self._text = (self._text + data)[-(1 << 18) :]
            for mark in [m for m, code in self._waiting.items() if code in self._text]:
                del self._waiting[mark]
                self.seen[mark], self.spent[mark] = now - self.started, self._cpu()
            if not self.watched and (not self._watch or any(words in self._text for words in self._watch)):
                self.watched = now
            self.received += len(data)

    def _cpu(self) -> float:
        total = 0
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def drawing(self) -> tuple[float, float]:
        """CPU of its main thread so far, and how long that waited for one."""
        spent, waited = Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[:2]
        return int(spent) / 1e9, int(waited) / 1e9

    def wait(self, seconds: float = 30.0) -> bool:
        """Until every mark was seen."""
        deadline = time.monotonic() + seconds
        while self._waiting and time.monotonic() < deadline:
            time.sleep(0.002)
        return not self._waiting

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def answer(self, keys: str, words: Sequence[str] = (), seconds: float = 5.0) -> tuple[float, float, float] | None:
        """Seconds from a key until one of `words` was sent (none: until anything was), the CPU that the program's main
        thread, which draws, used meanwhile, and how long that waited for a CPU; None: they did not come."""
        self._text, self._watch = b"", tuple(one.encode() for one in words)
        start = time.monotonic()
        before, spent, self.watched = self.received, self.drawing(), 0.0
        self.press(keys)
        while time.monotonic() - start < seconds:
            if self.watched and self.received > before:
                return self.watched - start, *(now - then for now, then in zip(self.drawing(), spent, strict=True))
            time.sleep(0.0005)
        return None

    def quiet(self) -> None:
        """Until a frame has just been sent: something arrived, and then nothing for 20 ms."""
        seen, deadline = self.received, time.monotonic() + 2
        while self.received == seen and time.monotonic() < deadline:
            time.sleep(0.002)
        while time.monotonic() < deadline:
            seen = self.received
            time.sleep(0.02)
            if self.received == seen:
                return

    def quit(self) -> float:
        """Seconds that leaving takes."""
        start = time.monotonic()
        self.press("q")
        os.waitpid(self.pid, 0)
        took = time.monotonic() - start
        self._reader.join()  # or it would read from the next terminal, which gets the same descriptor
        os.close(self._fd)
        return took
