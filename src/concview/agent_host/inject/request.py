"""One request to one target: which way it goes, and everything that speaks against it."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path
from typing import Protocol

from concview.agent_host.inject import place
from concview.agent_host.inject.layout import RINGS
from concview.agent_host.inject.writable import WritableMemory
from concview.cpython import runtime as runtimes
from concview.cpython.features import Features
from concview.cpython.memory import Memory, mappings
from concview.errors import Code, TargetError, TargetGone, Unsupported

_OPT_OUT = b"PYTHON_DISABLE_REMOTE_DEBUG="


class CannotInject(TargetError):
    """The target cannot be asked."""


class Request(Protocol):
    """`poke` until `taken`, or `withdraw`. Raises TargetGone when the target ends meanwhile."""

    def poke(self, again: bool) -> None:
        """Write it; `again`: it was written and not taken, reach further."""
        ...

    def taken(self) -> bool:
        """Whether the interpreter has begun to run it."""
        ...

    def withdraw(self) -> None:
        """Leave nothing that would run later."""
        ...

    def close(self) -> None: ...


def prepare(pid: int, line: str, folder_inside: str, folder: Path) -> Request:
    """A request to run `line`, one Python expression in ASCII. Nothing is written to the target yet.

    `folder` is where a script may be put, `folder_inside` the same as the target sees it. Raises CannotInject,
    NotPermitted, TargetGone.
    """
    from concview.agent_host.inject.ring import RingRequest
    from concview.agent_host.inject.script import ScriptRequest

    maps = list(mappings(pid))
    if not maps:  # a zombie
        raise TargetGone("exited")
    try:
        found = runtimes.find(Memory(pid))
    except Unsupported as error:
        raise CannotInject(*error.refusal) from None
    if _opted_out(pid):
        raise CannotInject(
            "remote debugging is switched off in the target (PYTHON_DISABLE_REMOTE_DEBUG), so it is left alone",
            "start it without that variable; the view from outside is unaffected",
            Code.NOT_PERMITTED,
        )
    memory = WritableMemory(pid)
    try:
        if Features(found.version).remote_scripts:
            return ScriptRequest(memory, found, line, folder_inside, folder)
        if found.version not in RINGS:
            raise CannotInject(
                f"Python {found.python} cannot be asked to load the agent (3.8 and newer can)", "", Code.UNSUPPORTED
            )
        if platform.machine() != "x86_64" or place.uses_musl(maps):
            raise CannotInject(
                f"Python {found.python} can be asked to load the agent on x86-64 with glibc only",
                "call concview.agent.listen() in the program, or use Python 3.14",
                Code.UNSUPPORTED,
            )
        return RingRequest(memory, found, maps, line)
    except BaseException:
        memory.close()
        raise


def _opted_out(pid: int) -> bool:
    """PEP 768's variable, honoured for Pythons that do not know it, too. Its value does not matter, as there."""
    with contextlib.suppress(OSError):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        return any(v.startswith(_OPT_OUT) and len(v) > len(_OPT_OUT) for v in environment.split(b"\0"))
    return False
