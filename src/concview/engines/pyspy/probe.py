"""What py-spy can see of a process, before anything is started."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from concview.cpython.features import Features
from concview.cpython.memory import Memory
from concview.cpython.runtime import find, layout
from concview.engines.base import Probe
from concview.engines.pyspy.failures import PySpyFailed, explain
from concview.engines.pyspy.observe import Gil, GilNotFound
from concview.engines.pyspy.run import environment, executable, version
from concview.errors import Code, NotPermitted, Refusal, TargetError, TargetGone, Unsupported
from concview.model import Capability

#: Versions that py-spy 0.4 is known to read (tested by tests/engines/pyspy); others are tried once.
_SURE = ((3, 8), (3, 14))
_HEADER = re.compile(r"^Python v(\d+\.\d+\S*)", re.MULTILINE)
_DIRECT = "use --engine direct on CPython 3.8 or newer"
YES = Capability(True)


def probe(pid: int) -> Probe:
    """Read-only. Starts py-spy once (20 ms) only where its version table alone does not tell."""
    try:
        python, free_threaded = _version(pid)
        executable()
        known = re.match(r"(\d+)\.(\d+)", python)
        number = (int(known[1]), int(known[2])) if known else (0, 0)
        if not _SURE[0] <= number <= _SURE[1] or free_threaded:
            python = _try(pid, python, free_threaded) or python
    except TargetGone:
        return Probe.refused("pyspy", Refusal(f"process {pid} has ended", "start it again", Code.NO_SUCH_PROCESS))
    except TargetError as error:
        return Probe.refused("pyspy", error.refusal)
    return Probe("pyspy", True, python=python, free_threaded=free_threaded, capabilities=_capabilities(pid))


def _version(pid: int) -> tuple[str, bool]:
    """Version as far as it can be told, '' when not, and whether the build is free-threaded."""
    if not Path(f"/proc/{pid}").exists():
        raise TargetGone("exited")
    memory = Memory(pid)
    try:
        runtime = find(memory)
        free_threaded = Features(runtime.version).without_gil and layout(memory, runtime).free_threaded
    except Unsupported:
        return "", False
    return runtime.python, free_threaded


def _try(pid: int, python: str, free_threaded: bool) -> str:
    """Ask py-spy for one dump: the only certain answer. Returns the version it names; PySpyFailed."""
    try:
        done = subprocess.run(
            [executable(), "dump", "--nonblocking", "--pid", str(pid)],
            capture_output=True, timeout=10, env=environment(), stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PySpyFailed(f"py-spy did not answer within 10 s for process {pid}", _DIRECT, Code.BUSY) from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0 or not re.search(r"^Thread ", text, re.MULTILINE):
        errors = done.stderr.decode("utf-8", "replace")
        if python:
            kind = f"Python {python}" + (" free-threaded" if free_threaded else "")
            why = explain(errors, pid, version())
            raise PySpyFailed(f"py-spy {version()} cannot read {kind}", _DIRECT, why.code or Code.UNSUPPORTED) from why
        raise explain(errors, pid, version(), python)
    match = _HEADER.search(text)
    return match[1] if match else ""


def _capabilities(pid: int) -> dict[str, Capability]:
    unseen = Capability(False, "read from memory only by the direct engine (CPython 3.8+)", _DIRECT)
    try:
        Gil(pid)
        gil = YES
    except (GilNotFound, NotPermitted, TargetGone) as error:
        gil = Capability(False, str(error))
    return {
        "stacks": YES,
        "waits": YES,
        "peers": YES,
        "counters": YES,
        "gil": gil,
        "locks": unseen,
        "held-locks": unseen,
        "collecting": unseen,
        "queues": unseen,
        "relations": unseen,
        "tasks": unseen,
        "labels": unseen,
        "switches": Capability(False, "the kernel's records of switches are read by the direct engine only", _DIRECT),
        "wakers": Capability(False, "the kernel's records of wakings are read by the direct engine only", _DIRECT),
        "agent": Capability(False, "no agent is in the target", "start the target with `concview run --agent`"),
    }
