"""One `py-spy record` child: started, ended in time, never left behind.

Measured with py-spy 0.4.3: 8-14 ms from the start to its first look at the target, then the first sample after an
exponentially distributed wait of mean 1/rate (py-spy samples at Poisson moments); on SIGINT it ends at its next sample
and writes the file, again 1/rate on average. Its time 0 is taken before it reads the target, right after it has logged
its command line: the time stamp of that log entry is the zero of its clock to about 0.1 ms.

The output goes to a memory file that nobody has to delete. The child dies with us (PR_SET_PDEATHSIG), and, where the
kernel drops that wish (a py-spy with file capabilities), with the end of its bounded duration.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from calendar import timegm
from functools import cache
from pathlib import Path

from concview.engines.pyspy.failures import PySpyFailed, explain
from concview.errors import Code

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_STARTED = re.compile(rb"\[(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{1,9})Z DEBUG py_spy::config\]")
#: A sample that py-spy could not take; its log says when.
_MISSED = re.compile(rb" WARN +py_spy\S*\] Failed to get stack trace")
_SUMMARY = re.compile(rb"Samples: (\d+) Errors: (\d+)")
#: Kept of what the child writes; it writes a few hundred bytes, more only when every sample fails.
_MAX_OUTPUT = 1 << 20
#: Without the log entry: the typical time from the return of fork and exec to py-spy's time 0.
_TYPICAL_ZERO_NS = 600_000


@cache
def executable() -> str:
    """Path of py-spy: beside our own interpreter, else on PATH. PySpyFailed when it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("py-spy")
    if found is None:
        raise PySpyFailed("py-spy is not installed", "pip install py-spy", Code.MISSING)
    return found


@cache
def version() -> str:
    """py-spy's version, '' when its package says nothing."""
    from importlib import metadata  # brings the parsers of e-mail with it, and this engine is mostly not used

    try:
        return metadata.version("py-spy")
    except metadata.PackageNotFoundError:
        return ""


def environment() -> dict[str, str]:
    """Environment for py-spy: its log shows the start time and failed samples; no colours, no backtraces."""
    return {
        **os.environ,
        "RUST_LOG": "warn,py_spy::config=debug",
        "RUST_LOG_STYLE": "never",
        "RUST_BACKTRACE": "0",
        "NO_COLOR": "1",
    }


def die_with_parent(parent: int) -> None:
    """Runs in the child between fork and exec: SIGKILL when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def cpu_seconds(pid: int) -> float:
    """CPU time of a live process, by its own CPU clock (clock_getcpuclockid: ~pid << 3 | 2). 0 when it is gone."""
    try:
        return time.clock_gettime(((~pid) << 3) | 2)
    except OSError:
        return 0.0


class PySpyRun:
    """A running py-spy. `zero_ns`, `misses` and `data` are known when it has ended."""

    #: Limit of its life in seconds: nobody stops it when we were killed and the kernel did not do it.
    LIFE_S = 10

    def __init__(self, pid: int, rate_hz: int, blocking: bool) -> None:
        self.pid = pid
        self.mean_ns = 1_000_000_000 // max(1, rate_hz)  #: between two of its samples
        self.asked_to_stop_ns = 0
        self.ready_ns = 0  #: when it had read the target once; 0 before
        self.ended_ns = 0
        self.started_ns = time.monotonic_ns()
        self.cpu_s = 0.0  #: once it has ended
        self._real_offset = time.time_ns() - time.monotonic_ns()
        self._file = os.memfd_create("concview-py-spy", os.MFD_CLOEXEC)
        self._out = b""
        self._err = b""
        parent = os.getpid()
        command = [executable(), "record", "--format", "chrometrace", "--idle", "--threads", "--full-filenames"]
        if not blocking:
            command.append("--nonblocking")
        command += ["--rate", str(max(1, rate_hz)), "--duration", str(self.LIFE_S)]
        command += ["--output", f"/proc/self/fd/{self._file}", "--pid", str(pid)]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                pass_fds=(self._file,),
                preexec_fn=lambda: die_with_parent(parent),
                process_group=0,  # Ctrl-C in the terminal is for us alone
            )
        except OSError as error:
            os.close(self._file)
            remedy = "pip install --force-reinstall py-spy"
            raise PySpyFailed(f"py-spy cannot be started: {error.strerror}", remedy) from error
        self._typical_zero_ns = time.monotonic_ns() + _TYPICAL_ZERO_NS
        for stream in (self._child.stdout, self._child.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)

    @property
    def child_pid(self) -> int:
        return self._child.pid

    def poll(self) -> bool:
        """Read what it wrote; True when it has ended. Never blocks."""
        if self.ended_ns:
            return True
        self._read()
        if not self.ready_ns and b"Sampling process" in self._out:
            self.ready_ns = time.monotonic_ns()
        try:
            pid, status, usage = os.wait4(self._child.pid, os.WNOHANG)
        except ChildProcessError:  # someone else reaped it: its file is there nevertheless
            pid, status, usage = self._child.pid, 0, None
        if pid == 0:
            return False
        self._read()
        self.ended_ns = time.monotonic_ns()
        self._child.returncode = os.waitstatus_to_exitcode(status)
        if usage is not None:
            self.cpu_s = usage.ru_utime + usage.ru_stime
        for stream in (self._child.stdout, self._child.stderr):
            assert stream is not None
            stream.close()
        return True

    def _read(self) -> None:
        assert self._child.stdout is not None and self._child.stderr is not None
        with contextlib.suppress(OSError):  # nothing there now
            while data := os.read(self._child.stdout.fileno(), 65536):
                self._out = (self._out + data)[:_MAX_OUTPUT]
        with contextlib.suppress(OSError):
            while data := os.read(self._child.stderr.fileno(), 65536):
                self._err = (self._err + data)[:_MAX_OUTPUT]

    def stop(self) -> None:
        """Ask it to write its file."""
        if not self.asked_to_stop_ns:
            self.asked_to_stop_ns = time.monotonic_ns()
            self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End and reap it, whatever it does, and give its memory back."""
        if not self.ended_ns:
            self._signal(signal.SIGKILL)
            deadline = time.monotonic() + 2.0
            while not self.poll() and time.monotonic() < deadline:
                time.sleep(0.001)
        self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended_ns:  # not reaped: the pid is surely ours
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)

    @property
    def succeeded(self) -> bool:
        return bool(self.ended_ns) and _SUMMARY.search(self._out) is not None

    @property
    def misses(self) -> int:
        """Samples that failed, by its own summary."""
        match = _SUMMARY.search(self._out)
        return int(match[2][:9]) if match else len(_MISSED.findall(self._err))

    def data(self) -> bytes:
        """The file it wrote; b'' when it wrote none."""
        if self._file < 0:
            return b""
        size = os.fstat(self._file).st_size
        pieces, at = [], 0
        while at < size and (piece := os.pread(self._file, size - at, at)):
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    @property
    def zero_ns(self) -> int:
        """Monotonic moment of its time 0."""
        match = _STARTED.search(self._err)
        if match is None:
            return self._typical_zero_ns
        fields = tuple(int(x) for x in match.groups()[:6])
        real = timegm((*fields, 0, 0, 0)) * 1_000_000_000 + int(match[7].ljust(9, b"0"))
        zero = real - self._real_offset
        # A wall clock set between the two readings would put it outside of the child's life.
        if not self.started_ns - 1_000_000 <= zero <= (self.ready_ns or time.monotonic_ns()):
            return self._typical_zero_ns
        return zero

    def failure(self, python: str = "") -> PySpyFailed:
        return explain(self._err.decode("utf-8", "replace"), self.pid, version(), python)
