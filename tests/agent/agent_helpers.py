"""Programs for the agent to visit, and ways to wait for what it says."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from concview.agent_host import Attachment, attach_agent
from concview.agent_host.messages import CallsPart, Message, Report
from concview.model import AGENT_THREAD
from interpreters import Interpreter, Process

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
_T = TypeVar("_T")

#: Does what its first argument says until SIGTERM, which ends it with 42 by an exception of its handler's: that and
#: its output must be the same whoever was inside.
STATES = """
import asyncio, signal, sys, threading, time
def ended(*_):
    sys.exit(42)
signal.signal(signal.SIGTERM, ended)
def busy():
    while True:
        sum(range(300))
def naps():
    while True:
        sum(range(300)); time.sleep(0.001)
def dozes():
    while True:
        sum(range(300)); time.sleep(0.03)
def start(function, count=1):
    for _ in range(count):
        threading.Thread(target=function, daemon=True).start()
def births():
    # Raised between two rounds: wherever the signal arrives, the exception is lost in a weak reference's callback now
    # and then.
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    while not told:
        threads = [threading.Thread(target=sum, args=(range(200),)) for _ in range(10)]
        for t in threads: t.start()
        for t in threads: t.join()
    ended()
async def tasks():
    # As a callback of the loop: raised wherever the signal arrives, the exception is lost in a finaliser now and then.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended)
    print("ready", flush=True)
    async def nap(n):
        while True:
            await asyncio.sleep(0.001 * n)
    await asyncio.gather(*[nap(i + 1) for i in range(10)])
state = sys.argv[1]
if state != "asyncio":
    print("ready", flush=True)
if state == "idle":
    while True: time.sleep(0.05)
elif state == "busy":
    busy()
elif state == "native":
    start(naps)  # something must run Python code; main is in C
    import socket
    ends = socket.socketpair()
    ends[0].recv(1)
elif state == "fight":
    start(busy, 2); busy()
elif state == "threads":
    start(naps, 4); start(dozes, 46); naps()
elif state == "births":
    births()
elif state == "asyncio":
    asyncio.run(tasks())
elif state == "asleep":
    time.sleep(1000)
"""
NAMES = ("idle", "busy", "native", "fight", "threads", "births", "asyncio")


def reachable(python: Interpreter, state: str) -> bool:
    """Whether such a program can be asked: before 3.12 only the main thread takes requests."""
    return python.version >= (3, 12) or state != "native"


def can_be_asked(python: Interpreter) -> bool:
    return not (python.free_threaded and python.version < (3, 14))


def until(attachment: Attachment, wanted: Callable[[Message], _T | None], seconds: float = 30.0) -> _T:
    """Poll until `wanted(message)` is something; that."""
    end = time.monotonic() + seconds
    said: list[Message] = []
    while time.monotonic() < end:
        for message in attachment.poll():
            said.append(message)
            found = wanted(message)
            if found is not None:
                return found
        alive = Path(f"/proc/{attachment.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        assert attachment.state == "attached", (attachment.state, attachment.text, said[-3:], f"{alive=}")
        time.sleep(0.005)
    raise AssertionError(f"not said in {seconds} s; said: {said[-3:]}")


def report(attachment: Attachment) -> Report:
    return until(attachment, lambda m: m if isinstance(m, Report) else None)


def account(attachment: Attachment) -> CallsPart:
    """The first part of the account at the end of a window."""
    return until(attachment, lambda m: m if isinstance(m, CallsPart) and not m.running else None, 30.0)


def leave(attachment: Attachment, seconds: float = 60.0) -> None:
    attachment.leave()
    end = time.monotonic() + seconds
    while attachment.state != "ended":
        assert time.monotonic() < end, "the agent did not leave"
        attachment.poll()
        time.sleep(0.002)
    assert attachment.text == "", attachment.text


def visit(pid: int, patience_s: float = 20.0) -> Attachment:
    return attach_agent(pid, patience_s, yappi())


def yappi() -> list[str] | None:
    return None


def threads(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def inside(pid: int) -> bool:
    """Whether a thread of that process has the agent's name."""
    names = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            names.add((task / "comm").read_text().strip())
    return AGENT_THREAD in names


def sockets(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    return sum(str(f.readlink()).startswith("socket:") for f in list(folder.iterdir()) if f.is_symlink())


def settled(pid: int) -> tuple[int, int]:
    """(threads, sockets) once the program has all that it wants: the same for half a second."""
    seen, since = (0, 0), time.monotonic()
    end = since + 20
    while time.monotonic() - since < 0.5 and time.monotonic() < end:
        now = threads(pid), sockets(pid)
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.02)
    return seen


def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.02)


def ends_as_ever(process: Process, code: int = 42) -> None:
    """SIGTERM reaches its handler; its exit code is its own; it wrote nothing that it would not have written."""
    process.popen.send_signal(signal.SIGTERM)
    try:
        seen = process.popen.wait(40)
    except subprocess.TimeoutExpired:
        process.popen.kill()
        raise AssertionError(f"it does not end: {process.errors()}") from None
    assert seen == code, process.errors()
    assert process.errors() == "standard error: "


def skip_unless_askable(python: Interpreter) -> None:
    if not can_be_asked(python):
        pytest.skip("free-threaded 3.13 is refused, see test_refusals")


assert sys.version_info >= (3, 11)
