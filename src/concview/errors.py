"""The one tree of what can go wrong with a target, and the codes by which the program decides.

Messages are sentences for people; nothing is decided by reading them. What decides is `code`, which travels with a
refusal through probes, the agent's messages and JSON.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Code(StrEnum):
    """Why something about a target cannot be done."""

    UNKNOWN = ""  #: not told
    NO_SUCH_PROCESS = "no-such-process"
    NOT_PYTHON = "not-python"
    NOT_PERMITTED = "not-permitted"  #: the kernel refuses; other rights would allow it
    UNSUPPORTED = "unsupported"  #: a Python, or a build of it, that no engine of ours can read
    UNREADABLE = "unreadable"  #: its structures are not what that version's should be
    MISSING = "missing"  #: a program or package that is needed is not installed
    BUSY = "busy"  #: somebody else is at it, or it does not come round to it
    FAILED = "failed"  #: concview's own part did not do its work
    BAD_FILE = "bad-file"  #: a file that cannot be read as what it should be


#: The command line's exit code for each; 4 where it is not listed.
EXIT_CODES = {Code.NOT_PERMITTED: 3, Code.BAD_FILE: 5, Code.FAILED: 70}


def code_of(value: object) -> Code:
    """The code as it came from another process; UNKNOWN for what is none."""
    try:
        return Code(str(value))
    except ValueError:
        return Code.UNKNOWN


class Refusal(NamedTuple):
    """That something cannot be done: for people why, in one sentence, and the exact step that would help or ''; for
    programs the code."""

    reason: str
    remedy: str = ""
    code: Code = Code.UNKNOWN

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.code, 4)


class TargetError(Exception):
    """Something about a process cannot be done: a `Refusal` as an exception. A class has the code that fits it; one
    whose reasons differ is given it."""

    code = Code.UNKNOWN

    def __init__(self, message: str, remedy: str = "", code: Code | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        if code is not None:
            self.code = code

    @property
    def refusal(self) -> Refusal:
        return Refusal(str(self), self.remedy, self.code)

    @property
    def exit_code(self) -> int:
        return self.refusal.exit_code


class NoSuchProcess(TargetError):
    """There is no process with that number, or it ended meanwhile."""

    code = Code.NO_SUCH_PROCESS


class Zombie(NoSuchProcess):
    """It ended, and its parent has not collected it yet: nothing is left to look at."""


class NotPython(TargetError):
    """It runs, but no Python interpreter was found in it."""

    code = Code.NOT_PYTHON


class Unsupported(TargetError):
    """A Python that no engine can read."""

    code = Code.UNSUPPORTED


class NotPermitted(TargetError):
    """The kernel refuses."""

    code = Code.NOT_PERMITTED


class CannotAttach(TargetError):
    """The collector could not begin; with the code of what stands in its way."""


class TargetGone(Exception):
    """The target exited, or is another program now. The message says which: 'exited' or 'exec'."""
