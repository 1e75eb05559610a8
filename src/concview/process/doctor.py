"""`concview doctor`: can this process be looked at from here, and if not, what exactly has to be done.

Everything is tried for real (one byte of memory, the files that sampling needs); the reasons come from `permission`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from concview.errors import NoSuchProcess, NotPermitted, NotPython, TargetError, Unsupported
from concview.linux import machine
from concview.linux.permission import refusal
from concview.process import examination as look
from concview.process.discovery import describe
from concview.process.pythons import Python
from concview.process.support import engines_for, unsupported


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `remedy` is a command or setting that can be copied, where there is one."""

    name: str
    outcome: Outcome
    explanation: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    pid: int | None
    attachable: bool
    verdict: str  #: one sentence
    checks: tuple[Check, ...]
    error: TargetError | None = None  #: what `concview attach` would fail with


def examine(pid: int | None = None) -> Report:
    """Look at one process, or without a pid at what this machine allows in general. Never raises."""
    general = tuple(_check(*row) for row in machine.rows())
    if pid is None:
        return _general(general)
    try:
        target = describe(pid)
    except NoSuchProcess as error:
        return Report(pid, False, _sentence(error), (Check("process", Outcome.FAILED, _sentence(error)),), error)
    except NotPython as error:
        remedy = error.remedy or "concview lists the Python processes"
        checks = (Check("python", Outcome.FAILED, _sentence(error), remedy), *general)
        return Report(pid, False, _sentence(error), checks, error)
    except NotPermitted as error:
        rows = (_check(*row) for row in look.rows(pid))
        checks = (Check("permission", Outcome.FAILED, _sentence(error), error.remedy), *rows, *general)
        return Report(pid, False, f"Cannot attach: {error}.", checks, error)
    python = Python(target.python, target.free_threaded)
    own = (_python_check(python), *(_check(*row) for row in look.rows(pid)))
    why, remedy = unsupported(python)
    if why:
        return Report(pid, False, f"Cannot attach: {why}.", (*own, *general), Unsupported(why, remedy))
    refused = refusal(pid)
    if refused is not None or any(check.name == "memory" and check.outcome is Outcome.FAILED for check in own):
        reason = refused.why if refused else "the memory of the process cannot be read"
        denied = NotPermitted(reason, refused.remedy if refused else "")
        return Report(pid, False, f"Cannot attach: {reason}.", (*own, *general), denied)
    missing = [check.name for check in own if check.outcome is Outcome.FAILED]
    but = f", but without: {', '.join(missing)}" if missing else ""
    engine = engines_for(python)[0]
    verdict = f"Process {pid} (Python {target.python or 'of unknown version'}) can be attached, engine {engine}{but}."
    return Report(pid, True, verdict, (*own, *general))


def _general(checks: tuple[Check, ...]) -> Report:
    """Without a process: own processes are what counts; a limit to them is a failure."""
    failed = [check for check in checks if check.outcome is Outcome.FAILED]
    if not failed:
        return Report(None, True, "This machine lets you attach to your Python processes.", checks)
    names = ", ".join(check.name for check in failed)
    blocking = any(check.name in machine.BLOCKING for check in failed)
    if blocking:
        return Report(None, False, f"This machine does not let you attach to running processes ({names}).", checks)
    return Report(None, True, f"You can attach to your Python processes, with limits ({names}).", checks)


def _python_check(python: Python) -> Check:
    why, remedy = unsupported(python)
    if why:
        return Check("python", Outcome.FAILED, why, remedy)
    build = " (free-threaded)" if python.free_threaded else ""
    found = engines_for(python)
    engines = f"engine{'s' if len(found) > 1 else ''} {' and '.join(found)}"
    return Check("python", Outcome.OK, f"Python {python.version or 'of unknown version'}{build}: {engines}")


def _check(name: str, ok: bool | None, explanation: str, remedy: str = "") -> Check:
    outcome = Outcome.UNKNOWN if ok is None else Outcome.OK if ok else Outcome.FAILED
    return Check(name, outcome, explanation, remedy)


def _sentence(error: TargetError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."
