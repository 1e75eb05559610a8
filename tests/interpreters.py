"""Python interpreters to test against, and target programs run under them.

Interpreters are looked for in three places: `pythonX.Y` on PATH, pyenv's versions folder (~/.pyenv or $PYENV_ROOT), and
everything named in the environment variable CONCVIEW_PYTHONS (a list separated like PATH; each item is an interpreter
or a folder below which `bin/python3*` is searched, four levels deep). Of each (minor version, free-threaded) the newest
patch release is used.

    from interpreters import interpreters, target

    with target(interpreters()[0], SOURCE) as process:
        process.pid, process.line()

A target script must print 'ready' on its own line; what it prints afterwards is read with `line()`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from concview.cpython.versions import DIRECT

#: What the project claims to work on: the pytest header names every one that is missing.
WANTED = [(3, minor) for minor in range(DIRECT[0][1], DIRECT[1][1] + 1)]
#: Everything on every interpreter: for a change to what differs between versions, and before a release.
FULL = bool(os.environ.get("CONCVIEW_FULL"))
_PROBE = (
    "import sys,sysconfig,json;print(json.dumps([list(sys.version_info[:3]),"
    "bool(sysconfig.get_config_var('Py_GIL_DISABLED')),sys.executable,sys.implementation.name]))"
)
_NAME = re.compile(r"python3(\.\d+)?t?$")
_PR_SET_PDEATHSIG = 1
#: Environment variable in which one process of a test run tells its children what it found.
_FOUND = "_CONCVIEW_TESTS_FOUND"


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: tuple[int, int]
    micro: int
    free_threaded: bool

    @property
    def label(self) -> str:
        """'3.13' or '3.13t'."""
        return f"{self.version[0]}.{self.version[1]}{'t' if self.free_threaded else ''}"


def _candidates() -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for major, minor in WANTED:
            for suffix in ("", "t"):
                yield Path(folder or ".") / f"python{major}.{minor}{suffix}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    with contextlib.suppress(OSError):
        for version in sorted((root / "versions").iterdir()):
            yield version / "bin" / "python3"
    for item in filter(None, os.environ.get("CONCVIEW_PYTHONS", "").split(os.pathsep)):
        place = Path(item)
        if place.is_dir():
            for depth in range(4):
                with contextlib.suppress(OSError):
                    yield from sorted(place.glob("*/" * depth + "bin/python3*"))
        else:
            yield place


def _ask(path: Path) -> Interpreter | None:
    """None for what cannot be run or is not CPython 3.8 or newer. On a full machine a free-threaded 3.13 takes half a
    minute to start: it gives way forty times, a turn of the run queue each, for each class that it makes."""
    try:
        done = subprocess.run([str(path), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=100)
        version, free_threaded, executable, implementation = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None  # a shim without a version behind it, or no Python at all
    if implementation != "cpython" or tuple(version[:2]) < WANTED[0]:
        return None
    # A shim is a shell script: start what it stands for.
    return Interpreter(executable or str(path), (version[0], version[1]), version[2], free_threaded)


@cache
def interpreters() -> tuple[Interpreter, ...]:
    """The newest patch of every minor version found, in order; free-threaded builds after the ordinary one. Looked for
    once a run: pytest's workers inherit what was found."""
    told = os.environ.get(_FOUND)
    if told is None:
        told = os.environ[_FOUND] = json.dumps([astuple(each) for each in _search()])
    return tuple(Interpreter(path, (major, minor), *rest) for path, (major, minor), *rest in json.loads(told))


def _search() -> tuple[Interpreter, ...]:
    best: dict[tuple[tuple[int, int], bool], Interpreter] = {}
    asked: set[Path] = set()
    for path in _candidates():
        if not _NAME.fullmatch(path.name) or not os.access(path, os.X_OK) or path.is_dir():
            continue
        real = path if "shims" in path.parts else path.resolve()
        if real in asked:
            continue
        asked.add(real)
        found = _ask(path)
        if found is None:
            continue
        old = best.get((found.version, found.free_threaded))
        if old is None or old.micro < found.micro:
            best[found.version, found.free_threaded] = found
    return tuple(best[key] for key in sorted(best))


def few(versions: Sequence[Interpreter]) -> list[Interpreter]:
    """Of these the oldest and the newest, and every build without a GIL; with CONCVIEW_FULL=1 all."""
    ordinary = [i for i in versions if not i.free_threaded]
    if FULL or len(ordinary) <= 2:
        return list(versions)
    return [i for i in versions if i.free_threaded or i in (ordinary[0], ordinary[-1])]


def missing() -> list[str]:
    """Versions the project claims to work on for which no interpreter was found."""
    have = {i.version for i in interpreters() if not i.free_threaded}
    return [f"{major}.{minor}" for major, minor in WANTED if (major, minor) not in have]


def current() -> Interpreter:
    """The interpreter that runs the tests."""
    return Interpreter(sys.executable, sys.version_info[:2], sys.version_info.micro, False)


def settle(pid: int, timeout: float = 60.0) -> None:
    """Returns when five looks in a row found all threads of a process asleep: they have come to where they stay."""
    calm, deadline = 0, time.monotonic() + timeout
    while calm < 5:
        assert time.monotonic() < deadline, f"process {pid} does not come to rest"
        time.sleep(0.02)
        states = set()
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it ended meanwhile
                states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
        calm = calm + 1 if states == {"S"} else 0


class Process:
    """A running target. `script` is the path of the program it runs."""

    def __init__(self, popen: subprocess.Popen[bytes], script: str, errors: Path) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.script = script
        self._errors = errors
        self._buffer = b""

    def line(self, timeout: float = 30.0) -> str:
        """The next line of its standard output. Fails with what it wrote to standard error."""
        assert self.popen.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                raise AssertionError(f"the target printed nothing for {timeout} s; {self.errors()}")
            data = os.read(self.popen.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"the target ended with {self.popen.wait()}; {self.errors()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace")

    def json(self, timeout: float = 30.0) -> Any:
        """The next line, decoded."""
        return json.loads(self.line(timeout))

    def send(self, text: str) -> None:
        """A line to its standard input."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(text.encode() + b"\n")
        self.popen.stdin.flush()

    def errors(self) -> str:
        return "standard error: " + self._errors.read_text("utf-8", "replace")[-4000:]

    def kill(self) -> None:
        """End it and its children, surely."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait(20)
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """A target outlives neither its test nor a killed test run."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def target(
    interpreter: Interpreter,
    source_or_path: str | os.PathLike[str],
    *args: str,
    env: dict[str, str] | None = None,
    flags: tuple[str, ...] = (),
    ready: str | None = "ready",
    timeout: float = 120.0,
    prefix: tuple[str, ...] = (),
    settled: bool = False,
) -> Iterator[Process]:
    """Run a script (its source when the text has a line break, else its path) until the block ends.

    Yields once the script printed the line `ready` (None: at once) and, with `settled`, has come to rest since: for
    programs whose threads go to where they stay, and never leave it. `flags` go before the script, `prefix` (a command
    that starts it elsewhere) before the interpreter.
    """
    folder = Path(tempfile.mkdtemp(prefix="concview-target-"))
    try:
        script = os.fspath(source_or_path)
        if "\n" in script:
            file = folder / "target.py"
            file.write_text(script, "utf-8")
            script = str(file)
        errors = folder / "stderr"
        with errors.open("wb") as stream:
            popen = subprocess.Popen(
                [*prefix, interpreter.path, "-u", *flags, script, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        process = Process(popen, script, errors)
        try:
            if ready is not None:
                deadline = time.monotonic() + timeout
                while process.line(max(0.1, deadline - time.monotonic())) != ready:
                    pass
            if settled:
                settle(process.pid)
            yield process
        finally:
            process.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
