"""Why a process stands still without being in any call: a signal stopped it, a debugger has, its cgroup is frozen.

Whoever waits for such a process waits until somebody lets it go on.
"""

from __future__ import annotations

import signal
from functools import lru_cache

from concview.linux.family import os_threads
from concview.linux.freezer import Freezer
from concview.linux.permission import status_fields
from concview.text import clean

#: Fields of /proc/PID/stat after the command's closing parenthesis (proc(5)): state, start, and the exit code, which is
#: the signal while a process is stopped: until its parent has waited for that (as a shell does at once), and where
#: ptrace is permitted.
_STATE, _START, _EXIT_CODE = 0, 22 - 3, 52 - 3
_SAID = {
    "SIGTSTP": "SIGTSTP (Ctrl-Z)",
    "SIGTTIN": "SIGTTIN (it reads the terminal from the background)",
    "SIGTTOU": "SIGTTOU (it writes to the terminal from the background)",
}


def stopped_by(pid: int) -> str:
    """'SIGSTOP', 'the debugger gdb (pid 12)', 'a frozen cgroup'; '' where it is not stopped, or not told. 20 µs."""
    fields = _stat(pid)
    if not fields:
        return ""
    if fields[_STATE] == "t":
        return _debugger(pid)
    if fields[_STATE] == "T":
        return _signal(fields)
    return "a frozen cgroup" if _freezer(pid, fields[_START]).frozen() else ""


@lru_cache(256)
def _freezer(pid: int, started: str) -> Freezer:
    return Freezer(pid)


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read(2048)
    except OSError:
        return []
    return text[text.rindex(b")") + 2 :].decode("ascii", "replace").split() if b")" in text else []


def _signal(fields: list[str]) -> str:
    number = int(fields[_EXIT_CODE]) if len(fields) > _EXIT_CODE and fields[_EXIT_CODE].isdigit() else 0
    try:
        name = signal.Signals(number).name
    except ValueError:
        return "a signal (SIGSTOP, Ctrl-Z, or the terminal used from the background)"
    return _SAID.get(name, name)


def _debugger(pid: int) -> str:
    """The tracer of the first thread, or of whichever of the threads has one."""
    for tid in [pid, *os_threads(pid)[:16]]:
        tracer = status_fields(tid).get("TracerPid", "0").strip()
        if tracer.isdigit() and int(tracer):
            try:
                with open(f"/proc/{tracer}/comm", "rb") as file:
                    name = clean(file.read(64).decode("utf-8", "replace").strip())
            except OSError:
                name = ""
            return f"the debugger {name} (pid {tracer})" if name else f"a debugger (pid {tracer})"
    return "a debugger"
