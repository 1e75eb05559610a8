"""What py-spy says when it fails, as one sentence, a remedy and a code.

py-spy has no codes of its own: this is the only place where words of a program decide, and they are another's.
"""

from __future__ import annotations

import re
from pathlib import Path

from concview.errors import Code, TargetError
from concview.text import clean

#: From its error texts (py-spy 0.4). Order matters: the first that matches is told.
_KNOWN: tuple[tuple[str, str, str, Code], ...] = (
    (
        r"permission denied|operation not permitted",
        "py-spy may not read process {pid}",
        "run concview as the process's user or as root (sudo), or give the container CAP_SYS_PTRACE; "
        "`concview doctor {pid}` tells which",
        Code.NOT_PERMITTED,
    ),
    (
        r"unsupported version of python:?\s*([0-9.]+)?",
        "py-spy {version} cannot read Python {python}",
        "use --engine direct (CPython 3.8 and newer), or install a newer py-spy",
        Code.UNSUPPORTED,
    ),
    (
        r"free.?threaded|gil.?disabled",
        "py-spy {version} cannot read free-threaded Python",
        "use --engine direct",
        Code.UNSUPPORTED,
    ),
    (
        r"no such process|check that the process is running|process exited|os error 3\b",
        "process {pid} is gone",
        "start it again",
        Code.NO_SUCH_PROCESS,
    ),
    (
        r"failed to find python version|failed to find a python interpreter|not a python|failed to get python",
        "py-spy {version} does not find a Python interpreter in process {pid}",
        "check that it is a CPython process; a static or stripped build may need --engine direct",
        Code.NOT_PYTHON,
    ),
    (
        r"can't get native stack traces|native",
        "py-spy cannot read native frames here: {first}",
        "native frames need x86-64 and a moment in which the target is stopped; ask without --native",
        Code.UNSUPPORTED,
    ),
    (
        r"failed to suspend process|ptrace",
        "py-spy could not stop process {pid}: another tracer may be attached",
        "detach the debugger, or use the non-stopping mode",
        Code.BUSY,
    ),
)


#: A line of its log below the level of a warning.
_LOG = re.compile(r"\[\d{4}-\d\d-\d\dT\S+ +(DEBUG|INFO|TRACE)")


class PySpyFailed(TargetError):
    """py-spy could not do its work. The message is one sentence, `remedy` the next step."""

    code = Code.FAILED


def _root(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/root").readlink())
    except OSError:
        return "/"


def explain(stderr: str, pid: int, version: str, python: str = "") -> PySpyFailed:
    """The failure behind what py-spy wrote to its standard error (its log lines and backtrace are ignored)."""
    lines: list[str] = []
    in_log = False
    for line in stderr.splitlines():
        if line.startswith("Stack backtrace"):
            break
        if _LOG.match(line):
            in_log = True  # a log entry may go on over indented lines
        elif not (in_log and line.startswith((" ", "}"))):
            in_log = False
            if line.strip():
                lines.append(line.strip())
    text = " ".join(lines)
    first = clean(next((x for x in lines if x.lower().startswith("error")), lines[0] if lines else ""), 160)
    for pattern, message, remedy, code in _KNOWN:
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            said = clean(match[1] or "", 20) if match.groups() else ""
            names = {"pid": pid, "version": version, "python": said.rstrip(".") or python or "of this version"}
            return PySpyFailed(message.format(first=first, **names), remedy.format(first=first, **names), code)
    if "os error 2)" in first and (root := _root(pid)) != "/":
        # It enters the namespace of mounts, and looks for the interpreter there by the path that the process knows.
        return PySpyFailed(
            f"py-spy does not find the interpreter: the process has another root directory ({clean(root, 80)}, chroot)",
            "use --engine direct, or run concview in that root directory",
        )
    if first:
        return PySpyFailed(f"py-spy failed: {first}", "use --engine direct, or report it to py-spy with this message")
    return PySpyFailed("py-spy ended without a word", "try again; use --engine direct on Python 3.8 and newer")
