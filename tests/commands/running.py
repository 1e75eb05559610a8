"""Running `python -m concview` for real: with pipes, or under a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from forked import ready

from terminals import Screen

CONCVIEW = [sys.executable, "-m", "concview"]
ROOT = Path(__file__).resolve().parents[2]
_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_].*?\x1b\\|\x1b[@-Z\\-_78=>]"
)


def run(*arguments: object, timeout: float = 120.0, **more: Any) -> subprocess.CompletedProcess[str]:
    """One command line to its end, with pipes for standard output and error, and no input."""
    words = [str(word) for word in arguments]
    if more:
        done = subprocess.run(
            [*CONCVIEW, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd="/",
            **more,
        )
    else:
        done = ready().run(words, timeout)
    done.stderr = told(done.stderr)
    return done


def told(errors: str) -> str:
    """What is written to standard error, less what is told of a full machine while it attaches."""
    return "".join(line for line in errors.splitlines(keepends=True) if "still attaching" not in line)


def together(*commands: Sequence[object], **more: Any) -> list[subprocess.CompletedProcess[str]]:
    """Several command lines at the same time: each of them waits most of its time."""
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda command: run(*command, **more), commands))


def one_line(result: subprocess.CompletedProcess[str], code: int, *words: str) -> str:
    """The one error line of a failed command, after checking all that the contract promises of it."""
    lines = result.stderr.splitlines()
    assert result.returncode == code, result
    assert result.stdout == "", result
    assert "Traceback" not in result.stderr
    assert lines and lines[0].startswith("concview: "), result
    # At most one more: the remedy, indented.
    assert len(lines) <= 2 and all(line.startswith("  ") for line in lines[1:]), result
    for word in words:
        assert word in result.stderr, result
    assert "\x1b" not in result.stderr
    return lines[0]


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                stat = (entry / "stat").read_text()
                if int(stat[stat.rindex(")") + 2 :].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def gone(pid: int, timeout: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def watched(command: int, pid: int) -> bool:
    """Whether that command's collector of a process has attached and taken some samples: it keeps files of the target's
    threads open, and rests between two samples."""
    for collector in psutil.Process(command).children(recursive=True):
        with contextlib.suppress(OSError):
            proc = Path(f"/proc/{collector.pid}")
            files = [str(link.readlink()) for link in (proc / "fd").iterdir()]
            rests = int((proc / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            if rests > 50 and any(file.startswith(f"/proc/{pid}/task/") for file in files):
                return True
    return False


def eventually(true: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until something is true. Machines that run tests are busy: no fixed sleeps."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def grown(path: Path, size: int, timeout: float = 60.0) -> None:
    """Wait until a file has at least `size` bytes."""
    eventually(lambda: path.exists() and path.stat().st_size >= size, timeout)


#: A sequence or a character at the end of which the rest may still come.
_BEGUN = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*)?|[\xc2-\xf4][\x80-\xbf]{0,2})\Z")


class Terminal:
    """concview under a pseudo-terminal of a given size. Use as a context manager."""

    def __init__(self, *arguments: object, columns: int = 100, rows: int = 30, **environment: str) -> None:
        self._state = tempfile.TemporaryDirectory()  # no view of another run is remembered
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.popen = subprocess.Popen(
            [*CONCVIEW, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd="/",
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            # COLUMNS and LINES would hide the size of this terminal.
            env={
                **{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")},
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "XDG_STATE_HOME": self._state.name,
                **environment,
            },
        )
        os.close(slave)
        self.pid = self.popen.pid
        self.raw = b""
        self.screen = Screen(columns, rows)
        self._fed = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait(10)
        os.close(self._master)
        self._state.cleanup()

    @property
    def text(self) -> str:
        """Everything written so far, without escape sequences."""
        return _ESCAPES.sub(b"", self.raw).decode("utf-8", "replace")

    @property
    def shown(self) -> str:
        """The screen, line by line: what is sent is only what changes."""
        tail = _BEGUN.search(self.raw, self._fed)
        end = tail.start() if tail is not None else len(self.raw)
        self.screen.feed(self.raw[self._fed : end].decode("utf-8", "replace"))
        self._fed = end
        return self.screen.text

    def read(self, seconds: float) -> None:
        """Take what is written, for so long or until the program ends."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._master], [], [], min(left, 0.1))[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:  # the other side is closed
                    return
                if not data:
                    return
                self.raw += data

    def wait_for(self, pattern: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text) and not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, f"{pattern!r} did not appear in:\n{self.text[-3000:]}"
            assert self.popen.poll() is None, f"it ended with {self.popen.returncode}:\n{self.text[-3000:]}"
            self.read(0.2)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self, seconds: float = 40.0) -> int:
        """Its exit code."""
        deadline = time.monotonic() + seconds
        while self.popen.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
        self.read(0.1)
        assert self.popen.poll() is not None, f"it did not end:\n{self.text[-2000:]}"
        return self.popen.returncode

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, and go on reading as a terminal does: a full one would hold up whoever takes his leave."""
        os.kill(self.pid, number)
        deadline = time.monotonic() + 20
        while self.popen.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
