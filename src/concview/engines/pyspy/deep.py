"""The deep look: one py-spy dump with native frames or local variables, on request.

Native frames can only be had while the target is stopped (py-spy refuses them in the non-stopping mode): for the few
milliseconds that unwinding its threads takes, 20 ms at 6 threads. Locals can be read without stopping; a value that
changes meanwhile may then be shown wrongly, which is why values are text, cut by py-spy at 128 characters.
"""

from __future__ import annotations

import os
import subprocess
import time

import msgspec

from concview.engines.pyspy.failures import PySpyFailed, explain
from concview.engines.pyspy.run import die_with_parent, environment, executable, version
from concview.engines.pyspy.threads import Tasks
from concview.engines.pyspy.trace import MAX_FRAMES
from concview.linux.namespaces import ThreadNumbers
from concview.model import Struct
from concview.text import clean

#: A dump takes 20 ms, a first one with native frames of large libraries some seconds.
TIMEOUT_S = 20.0
MAX_LOCALS = 64  #: per frame
MAX_VALUE = 200  #: characters
_MAX_OUTPUT = 64 << 20
_NEEDS_STOP = "allow the stop: native frames are read in a few milliseconds during which every thread stands still"


class DeepLocal(Struct, frozen=True):
    name: str
    value: str
    argument: bool = False


class DeepFrame(Struct, frozen=True):
    """One frame; `native` frames have a library as `file` and no line."""

    function: str
    file: str
    line: int
    native: bool = False
    locals: tuple[DeepLocal, ...] = ()


class DeepThread(Struct, frozen=True):
    """Frames leaf first. `tid` 0 when it cannot be told; `active`: py-spy's word for not waiting in the kernel."""

    tid: int
    name: str
    frames: tuple[DeepFrame, ...]
    active: bool = False
    owns_gil: bool = False
    truncated: bool = False


class DeepLook(Struct, frozen=True):
    """`stopped`: the target stood still meanwhile; `took_s` bounds for how long."""

    threads: tuple[DeepThread, ...]
    stopped: bool
    took_s: float


class _Local(msgspec.Struct):
    name: str = ""
    arg: bool = False
    repr: str | None = None


class _Frame(msgspec.Struct):
    name: str = ""
    filename: str = ""
    module: str | None = None
    line: int = 0
    locals: list[_Local] | None = None


class _Thread(msgspec.Struct):
    thread_id: int
    thread_name: str | None = None
    os_thread_id: int | None = None
    active: bool = False
    owns_gil: bool = False
    frames: list[_Frame] = []


_decoder = msgspec.json.Decoder(list[_Thread], strict=False)


def deep_look(
    pid: int,
    native: bool = False,
    locals: bool = False,  # noqa: A002 - as py-spy calls it
    nonblocking: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> list[DeepThread]:
    """All threads of `pid`, main thread first. See `look` for the errors."""
    return list(look(pid, native, locals, nonblocking, timeout_s).threads)


def look(
    pid: int,
    native: bool = False,
    locals: bool = False,  # noqa: A002 - as py-spy calls it
    nonblocking: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> DeepLook:
    """The deep look, with word on whether the target was stopped.

    PySpyFailed (one sentence, a remedy): py-spy cannot, did not answer in time, or `native` was asked for together
    with `nonblocking`, which cannot be had.
    """
    if native and nonblocking:
        raise PySpyFailed("native frames can only be read while the target is stopped for a moment", _NEEDS_STOP)
    command = [executable(), "dump", "--json", "--full-filenames", "--pid", str(pid)]
    command += ["--nonblocking"] * nonblocking + ["--native"] * native + ["--locals"] * locals
    parent = os.getpid()
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env=environment(),
            preexec_fn=lambda: die_with_parent(parent),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PySpyFailed(f"py-spy did not finish within {timeout_s:.0f} s", "try again without --native") from None
    except OSError as error:
        raise PySpyFailed(f"py-spy cannot be started: {error.strerror}", "pip install py-spy") from error
    took = time.monotonic() - started
    if done.returncode != 0 or not done.stdout.strip():
        raise explain(done.stderr.decode("utf-8", "replace"), pid, version())
    if len(done.stdout) > _MAX_OUTPUT:
        raise PySpyFailed("py-spy's dump is too large to be shown", "ask without locals")
    try:
        threads = _decoder.decode(done.stdout)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise PySpyFailed("py-spy's dump cannot be understood", f"is py-spy {version()} too new?") from None
    tids = _tids(pid, threads)
    found = sorted((_thread(t, tids.get(t.thread_id, 0)) for t in threads), key=lambda t: (t.tid != pid, t.tid))
    return DeepLook(tuple(found), not nonblocking, took)


def _tids(pid: int, threads: list[_Thread]) -> dict[int, int]:
    """pthread handle -> kernel thread id; py-spy says it only from 3.11 on or when it stops the target."""
    numbers = ThreadNumbers(pid)
    outer = {t.thread_id: numbers.outer(t.os_thread_id) for t in threads if t.os_thread_id}
    told = {handle: tid for handle, tid in outer.items() if tid}
    if len(told) == len(threads):
        return told
    tasks = Tasks(pid)
    try:
        tasks.refresh(time.monotonic_ns())
    except OSError:
        return told
    tasks.learn([t.thread_id for t in threads])
    return {task.handle: task.tid for task in tasks.now.values() if task.handle} | told


def _thread(thread: _Thread, tid: int) -> DeepThread:
    frames = tuple(map(_frame, thread.frames[:MAX_FRAMES]))
    name = clean(thread.thread_name or "") or f"thread {tid or hex(thread.thread_id)}"
    truncated = len(thread.frames) > MAX_FRAMES
    return DeepThread(tid, name, frames, thread.active, thread.owns_gil, truncated)


def _frame(frame: _Frame) -> DeepFrame:
    # Native frames: py-spy gives the library as module, or no file at all for code it knows nothing about.
    native = frame.module is not None or frame.filename in ("?", "")
    values = tuple(
        DeepLocal(clean(x.name), clean(x.repr if x.repr is not None else "?", MAX_VALUE), x.arg)
        for x in (frame.locals or ())[:MAX_LOCALS]
    )
    return DeepFrame(clean(frame.name), clean(frame.filename), max(0, frame.line), native, values)
