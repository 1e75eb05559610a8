"""Why a process cannot be looked at. Each message is one sentence for a person."""

from __future__ import annotations


class TargetError(Exception):
    """Base of them all. `remedy` is the exact step that would help, or ''; `exit_code` is the command line's."""

    exit_code = 4

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NoSuchProcess(TargetError):
    """There is no process with that number, or it ended meanwhile."""


class Zombie(NoSuchProcess):
    """It ended, and its parent has not collected it yet: nothing is left to look at."""


class NotPython(TargetError):
    """It runs, but no Python interpreter was found in it."""


class Unsupported(TargetError):
    """A Python that no engine can read."""


class NotPermitted(TargetError):
    """The kernel refuses."""

    exit_code = 3
