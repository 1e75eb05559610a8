"""The Python processes below a process, and what each is for.

A master and its workers often have one command line, name and executable: only who started whom tells them apart. What
multiprocessing and loky start beside the workers (resource trackers, the fork server) does no work of the program's.
Verified with multiprocessing on 3.8 to 3.15, loky of joblib 1.6, gunicorn 27, uvicorn 0.54 and celery 5.7.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from concview.linux.family import children_of
from concview.model import Role
from concview.process.discovery import human_name, is_own
from concview.process.pythons import Python, looks_like_python, python_of
from concview.text import clean, one_line

#: Processes looked at below one, and how deep.
MOST, DEEPEST = 200, 12
#: What is looked at of a command line.
_MOST_BYTES = 4096
_TRACKER = re.compile(r"\b(?:resource_tracker|semaphore_tracker)\b.*\bmain\b")
_SPAWNED = re.compile(r"--multiprocessing-fork\b|\bmultiprocessing\.spawn import spawn_main\b")
_FORKSERVER = re.compile(r"\bmultiprocessing\.forkserver import main\b")
#: A name that multiprocessing's workers are given by their starter, where it stands in the command line (loky).
_NAMED = "--process-name"
_STARTED = 22 - 3


@dataclass(frozen=True, slots=True)
class Member:
    """One Python process of a tree. Strings are clean."""

    pid: int
    start_ticks: int
    parent: int  #: the nearest Python process above it; 0 for the first one
    role: Role
    name: str  #: 'worker 2', 'app.py', 'gunicorn: master [app]', 'resource tracker'
    command: tuple[str, ...]
    depth: int = 0
    cpu_s: float = 0.0  #: used so far
    threads: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.pid, self.start_ticks


@dataclass(slots=True)
class _Found:
    python: Python | None
    command: tuple[str, ...]
    title: str
    looked: int = 0


class Tree:
    """`members` again and again: what a process is, is remembered while it lives and has not become another program."""

    def __init__(self, root: int) -> None:
        self.root = root
        self._known: dict[tuple[int, int, str], _Found] = {}
        self._slots: dict[tuple[int, int], str] = {}
        self.more = 0  #: processes that were not looked at, at the last look
        #: At the last look, children of the process itself that have ended and that it has not collected.
        self.ended: list[int] = []
        self._ticks = os.sysconf("SC_CLK_TCK")

    def members(self) -> list[Member]:
        """The process itself first, then those below it, parents before children; empty when it is gone. Processes that
        are no Python (a shell, a launcher) are passed through."""
        self.more = 0
        self.ended = []
        found: list[Member] = []
        known: dict[tuple[int, int, str], _Found] = {}
        todo: list[tuple[int, int, int, bool]] = [(self.root, 0, 0, False)]
        seen: set[int] = set()
        told: dict[int, _Found] = {}
        while todo:
            pid, parent, depth, forkserver = todo.pop(0)
            if pid in seen or depth > DEEPEST:
                continue
            if len(seen) >= MOST:
                self.more += 1
                continue
            seen.add(pid)
            fields = _stat(pid)
            if not fields or fields[0] in "ZX":
                if fields and parent == self.root and depth == 1:
                    self.ended.append(pid)
                continue
            ticks = int(fields[_STARTED])
            what = self._what(pid, ticks, known)
            above, serves = parent, False
            if what.python is not None or pid == self.root:
                if pid != self.root and is_own(pid, what.command):
                    continue
                role, name, serves = self._role(pid, what, told.get(parent), forkserver)
                found.append(
                    Member(
                        pid,
                        ticks,
                        parent,
                        role,
                        name,
                        what.command,
                        depth,
                        (int(fields[11]) + int(fields[12])) / self._ticks,
                        int(fields[17]),
                    )
                )
                above, told[pid] = pid, what
            todo += [(child, above, depth + 1, serves) for child in children_of(pid)]
        self._known = known
        return self._numbered(found)

    def _what(self, pid: int, ticks: int, known: dict[tuple[int, int, str], _Found]) -> _Found:
        try:
            executable = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
        except OSError:
            executable = ""
        key = (pid, ticks, executable)
        what = self._known.get(key)
        # A process that was just forked may still become another program, and title itself; so it is asked some times.
        if what is None or what.looked < 5:
            title, command = _command(pid)
            python = what.python if what is not None else None
            if python is None:
                python = _python(pid, command)
            what = _Found(python, command, title, what.looked + 1 if what is not None else 1)
        known[key] = what
        return what

    def _role(self, pid: int, what: _Found, above: _Found | None, forkserver: bool) -> tuple[Role, str, bool]:
        """(role, name, whether it is a fork server)"""
        line = " ".join(what.command)
        if pid == self.root:
            return Role.PROGRAM, _name(what), _FORKSERVER.search(line) is not None
        if forkserver:  # its workers have its command line
            return Role.WORKER, "", False
        if _FORKSERVER.search(line):
            return Role.HELPER, "fork server", True
        if _TRACKER.search(line):
            return Role.HELPER, "resource tracker", False
        if (
            _NAMED in what.command
            or what.title
            or _SPAWNED.search(line)
            or (above is not None and above.command == what.command)
        ):
            return Role.WORKER, "", False
        return Role.PROGRAM, _name(what), False

    def _numbered(self, found: list[Member]) -> list[Member]:
        """Workers without a name of their own by their age; a number stays with a worker while it lives."""
        alive = {m.key for m in found}
        for key in self._slots.keys() - alive:
            del self._slots[key]
        taken = set(self._slots.values())
        for member in sorted(found, key=lambda m: (m.start_ticks, m.pid)):
            if member.role is Role.WORKER and member.key not in self._slots:
                number = next(n for n in range(1, 2 * MOST) if f"worker {n}" not in taken)
                self._slots[member.key] = f"worker {number}"
                taken.add(f"worker {number}")
        named = []
        for m in found:
            name = self._slots[m.key] if m.role is Role.WORKER else m.name
            named.append(Member(m.pid, m.start_ticks, m.parent, m.role, name, m.command, m.depth, m.cpu_s, m.threads))
        return named


def helper(command: Iterable[str]) -> bool:
    """Whether a command line is that of a resource tracker or a fork server."""
    line = " ".join(command)
    return bool(_TRACKER.search(line) or _FORKSERVER.search(line))


def _name(what: _Found) -> str:
    return what.title or human_name(what.command, "python", embedded=False)


def _python(pid: int, command: tuple[str, ...]) -> Python | None:
    try:
        return python_of(pid)
    except PermissionError:
        return looks_like_python(_comm(pid), command)
    except OSError:
        return None


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read(2048).decode("utf-8", "replace")
        return text[text.rindex(")") + 2 :].split()
    except (OSError, ValueError):
        return []


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read(64).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _command(pid: int) -> tuple[str, tuple[str, ...]]:
    """(title that the process gave itself or '', words). A title (setproctitle) is one text, padded with NULs."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            raw = file.read(_MOST_BYTES)
    except OSError:
        return "", ()
    words = tuple(clean(one_line(word.decode("utf-8", "replace").rstrip())) for word in raw.rstrip(b"\0").split(b"\0"))
    title = words[0] if len(words) == 1 and (" " in words[0] or words[0].startswith("[")) else ""
    return clean(title, 60), words
