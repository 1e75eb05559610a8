"""Finding Python processes, and describing one of them."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass

import psutil

from concview.errors import NoSuchProcess, NotPermitted, NotPython, Zombie
from concview.errors import TargetError as TargetError  # what `describe` raises is part of this interface
from concview.linux import permission
from concview.linux.limits import limits
from concview.linux.namespaces import container_of, inner_pid
from concview.model import Target
from concview.process.instead import other_python, pythons_below
from concview.process.pythons import Python, looks_like_python, python_of
from concview.process.support import unsupported
from concview.text import clean, one_line

#: Threads whose switches are counted in one listing, all processes together (12 µs each).
_MAX_THREADS = 2000
#: A process without Python is looked at again after so many seconds: a library may have been loaded meanwhile.
_LOOK_AGAIN_S = 30.0
#: Words of a command line kept, and characters of each.
_MAX_WORDS = 64
#: In a program given by -c; not a path with our name in it.
_IMPORTS_US = re.compile(r"(?:^|[;\n])\s*(?:from|import)\s+concview\b")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A running Python process in the picker. Strings are clean."""

    pid: int
    name: str  #: what a person calls it: 'app.py', '-m http.server', 'uwsgi'
    command: tuple[str, ...]
    python: str  #: '3.13.0', '3.13' or ''
    free_threaded: bool
    embedded: bool  #: another program with Python inside
    cpu_percent: float  #: of one core since the previous listing, or since its start in the first one
    threads: int
    switches_per_s: float  #: times a thread was put on a CPU, over the same time; -1 not known
    user: str
    started: float  #: seconds since the epoch
    attachable: bool
    why: str = ""  #: why not
    remedy: str = ""  #: what would allow it
    container: str = ""  #: 'docker 0123456789ab', with the pod where there is one; '' outside of any
    parent: int = 0  #: pid of its parent


@dataclass(slots=True)
class _Seen:
    """What is remembered of one process between listings."""

    python: Python | None
    looked_at: float
    at: float = 0.0
    cpu_s: float = 0.0
    slices: int = -1


class Discovery:
    """Lists processes again and again; rates are taken between two listings."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], _Seen] = {}
        self._threads_left = 0

    def list(self) -> list[Candidate]:
        """Every Python process that can be seen, concview's own excluded. Never raises."""
        found: list[Candidate] = []
        seen: dict[tuple[int, float], _Seen] = {}
        self._threads_left = _MAX_THREADS
        for process in psutil.process_iter():
            try:
                with process.oneshot():
                    candidate = self._look(process, seen)
            except (psutil.Error, OSError, ValueError):
                continue  # ended while it was looked at
            if candidate is not None:
                found.append(candidate)
        self._seen = seen
        return found

    def _look(self, process: psutil.Process, seen: dict[tuple[int, float], _Seen]) -> Candidate | None:
        key = (process.pid, process.create_time())
        now = time.monotonic()
        known = self._seen.get(key)
        if known is not None and known.python is None and now - known.looked_at < _LOOK_AGAIN_S:
            seen[key] = known
            return None
        raw = _command(process)
        if known is None or known.python is None:
            known = _Seen(_identify(process, raw), now)
        seen[key] = known
        if known.python is None or is_own(process.pid, raw) or process.status() == psutil.STATUS_ZOMBIE:
            return None
        cpu_percent, switches = self._rates(process, known, key[1])
        refused = permission.refusal(process.pid)
        why, remedy = (refused.why, refused.remedy) if refused else unsupported(known.python)
        return Candidate(
            pid=process.pid,
            name=human_name(raw, process.name(), known.python.embedded),
            command=_cleaned(raw),
            python=known.python.version,
            free_threaded=known.python.free_threaded,
            embedded=known.python.embedded,
            cpu_percent=cpu_percent,
            threads=process.num_threads(),
            switches_per_s=switches,
            user=_user(process),
            started=key[1],
            attachable=not why,
            why=why,
            remedy=remedy,
            container=clean(container_of(process.pid).text, 80),
            parent=process.ppid(),
        )

    def _rates(self, process: psutil.Process, known: _Seen, started: float) -> tuple[float, float]:
        """(CPU percent, switches a second) since the last listing, and takes the new starting point."""
        times = process.cpu_times()
        now, cpu_s, slices = time.time(), times.user + times.system, self._slices(process)
        before, cpu_before, slices_before = (known.at, known.cpu_s, known.slices) if known.at else (started, 0.0, 0)
        known.at, known.cpu_s, known.slices = now, cpu_s, slices
        passed = max(now - before, 1e-3)
        switches = max(0, slices - slices_before) / passed if slices >= 0 and slices_before >= 0 else -1.0
        return max(0.0, cpu_s - cpu_before) / passed * 100, switches

    def _slices(self, process: psutil.Process) -> int:
        """How often its threads were put on a CPU (third number of schedstat); -1 when there are too many threads."""
        count = process.num_threads()
        if count > self._threads_left:
            return -1
        self._threads_left -= count
        total, folder = 0, f"/proc/{process.pid}/task"
        try:
            for tid in os.listdir(folder):  # noqa: PTH208 - a Path for each thread costs as much as the reading
                with open(f"{folder}/{tid}/schedstat", "rb", 0) as file:
                    total += int(file.read(128).split()[2])
        except (OSError, IndexError, ValueError):
            return -1  # a thread ended, or this kernel does not count
        return total


_discovery = Discovery()


def python_processes() -> list[Candidate]:
    """Python processes of this machine, newest first; rates since the previous call."""
    return sorted(_discovery.list(), key=lambda candidate: -candidate.started)


def describe(pid: int) -> Target:
    """What a process is. NoSuchProcess, Zombie, NotPython or NotPermitted, each with one clear sentence."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                raise Zombie(f"process {pid} has ended; its parent has not collected it yet (a zombie)")
            raw = _command(process)
            python = _require_python(process, raw)
            bounds = limits(pid)
            container = container_of(pid)
            inner = inner_pid(pid)
            return Target(
                pid=pid,
                python=python.version,
                command=_cleaned(raw),
                started=process.create_time(),
                start_ticks=start_ticks(pid),
                executable=clean(process.exe()),
                free_threaded=python.free_threaded,
                user=_user(process),
                cpus=bounds.cpus,
                machine_cpus=bounds.machine_cpus,
                fd_limit=bounds.descriptors,
                memory_limit=bounds.memory,
                address_limit=bounds.address_space,
                data_limit=bounds.data,
                inner_pid=inner if inner != pid else 0,
                container=clean(container.name, 60),
                pod=clean(container.pod, 60),
                host=clean(socket.gethostname(), 60),
            )
    except psutil.ZombieProcess:
        raise Zombie(f"process {pid} has ended; its parent has not collected it yet (a zombie)") from None
    except psutil.AccessDenied:
        raise _not_permitted(pid) from None
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError, ValueError, OverflowError):
        raise NoSuchProcess(f"there is no process {pid}") from None


def _require_python(process: psutil.Process, command: tuple[str, ...]) -> Python:
    refused = permission.refusal(process.pid)
    try:
        python = python_of(process.pid)
    except PermissionError:
        raise _not_permitted(process.pid) from None
    except FileNotFoundError:
        if process.is_running() and not command:
            raise NotPython(f"process {process.pid} is a kernel thread, not a Python process") from None
        raise
    if python is None:
        raise _not_python(process.pid, clean(" ".join(command) or process.name(), 60))
    if refused is not None:
        raise NotPermitted(refused.why, refused.remedy)
    return python


def _not_python(pid: int, what: str) -> NotPython:
    """With what runs there instead, or where the Python is that is most likely meant."""
    other, remedy = other_python(pid)
    if other:
        return NotPython(f"process {pid} ({what}) runs {other}: concview reads CPython only", remedy)
    below = pythons_below(pid)
    if not below:
        return NotPython(f"process {pid} ({what}) is not a Python process")
    first = below[0]
    if len(below) == 1:
        return NotPython(
            f"process {pid} ({what}) is not a Python process, but process {first} below it is",
            f"give process {first} instead",
        )
    return NotPython(
        f"process {pid} ({what}) is not a Python process, but {len(below)} below it are",
        f"give one or several of them instead: {', '.join(map(str, below[:4]))}{' ...' if len(below) > 4 else ''}",
    )


def _not_permitted(pid: int) -> NotPermitted:
    refused = permission.explain(pid)
    return NotPermitted(refused.why, refused.remedy)


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat: clock ticks since boot. With the pid it names a process for ever."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        stat = file.read()
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def lives(pid: int, started: int) -> bool:
    """Whether that process is there, and has not ended. `started`: its start, in ticks."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
        fields = stat[stat.rindex(b")") + 2 :].split()
        return fields[0] not in (b"Z", b"X") and int(fields[19]) == started
    except (OSError, ValueError, IndexError):
        return False


def is_own(pid: int, command: tuple[str, ...]) -> bool:
    """Whether it is concview itself: we, our collector, or somebody else's. A demo's workload is a target, though."""
    if pid == os.getpid():
        return True
    words = command[1:] if command and command[0].rpartition("/")[2].startswith("python") else command
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
        words = words[1:]
    if not words:
        return False
    if words[0] in ("-m", "-c"):
        subject = words[1] if len(words) > 1 else ""
        if words[0] == "-m" and subject.startswith("concview.demos"):
            return False
        own = _IMPORTS_US.search(subject) is not None if words[0] == "-c" else subject.partition(".")[0] == "concview"
    else:
        own = words[0].rpartition("/")[2] in ("concview", "concview.py")
    return own and not ("demo" in words and "--headless" in words)


def human_name(command: tuple[str, ...], name: str, embedded: bool) -> str:
    """What a person would call the process: its script or module, not 'python3'."""
    if embedded or not command or not command[0].rpartition("/")[2].startswith("python"):
        return clean(command[0].rpartition("/")[2] if command and not embedded else name, 60)
    takes_value = {"-W", "-X", "--check-hash-based-pycs"}
    words = iter(command[1:])
    for word in words:
        if word in takes_value:
            next(words, None)
        elif word in ("-m", "-c"):
            return clean(one_line(f"{word} {next(words, '').strip()}"), 60)
        elif not word.startswith("-"):
            return clean(word.rstrip("/").rpartition("/")[2] or word, 60)
    return clean(name, 60)


def _identify(process: psutil.Process, command: tuple[str, ...]) -> Python | None:
    try:
        return python_of(process.pid)
    except PermissionError:
        return looks_like_python(process.name(), command)
    except OSError:
        return None  # a kernel thread, or gone


def _command(process: psutil.Process) -> tuple[str, ...]:
    """Raw; () when it may not be read or is a kernel thread's."""
    try:
        return tuple(process.cmdline()[:_MAX_WORDS])
    except psutil.AccessDenied:
        return ()


def _cleaned(command: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean(one_line(word)) for word in command)


def _user(process: psutil.Process) -> str:
    try:
        return clean(process.username(), 40)
    except (KeyError, psutil.AccessDenied):
        return ""
