"""The one tree of what can go wrong with a target, and the codes by which the program decides.

Messages are sentences for people; nothing is decided by reading them. What decides is `code`, which travels with a
refusal through probes, the agent's messages and JSON.
"""

from __future__ import annotations

from enum import StrEnum


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


#: The command line's exit code for each; 4 where it is not listed.
EXIT_CODES = {Code.NOT_PERMITTED: 3}


class TargetError(Exception):
    """A process cannot be looked at. `remedy` is the exact step that would help, or ''."""

    code = Code.UNKNOWN

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.code, 4)


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


class TargetGone(Exception):
    """The target exited, or is another program now. The message says which: 'exited' or 'exec'."""
