"""Where a session's events come from: a collector process, or a recording."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from concview import codec
from concview.control import Command, encode
from concview.errors import Code, TargetError, code_of
from concview.model import AnyEvent, Hello
from concview.session.launcher import Alone, Launcher, Running
from concview.session.rolling_recording import RollingRecording
from concview.text import percent

#: The collector answers within this time or is given up: interpreter start, ELF lookup, a scan of a stripped binary.
START_TIMEOUT_S = 20.0
#: ... but for as long as it gets no CPU on a machine that has none: at most this.
STARVED_TIMEOUT_S = 120.0
#: It has no CPU when it ran or wanted to for this share of the time.
_WANTED = 0.5
#: After being asked to end, the collector has this long before it is killed.
END_TIMEOUT_S = 2.0


class AttachError(TargetError):
    """It could not be attached: what the collector said, or that it said nothing."""


class Patience:
    """How long to wait for a collector's first words."""

    def __init__(self, source: StreamSource, timeout_s: float) -> None:
        self._source, self._timeout_s = source, timeout_s
        self._began = time.monotonic()
        self._most_s = timeout_s if timeout_s < START_TIMEOUT_S else STARVED_TIMEOUT_S

    def over(self) -> bool:
        elapsed = time.monotonic() - self._began
        return elapsed >= self._timeout_s and (elapsed >= self._most_s or self._share() < _WANTED)

    def error(self) -> AttachError:
        elapsed, share = time.monotonic() - self._began, self._share()
        why = f": it waited for a CPU for {percent(share)} of the time" if share >= _WANTED else ""
        return AttachError(f"nothing arrived from the collector within {elapsed:.0f} s{why}", code=Code.FAILED)

    def _share(self) -> float:
        """Of the time, that in which the collector was on a CPU or waited for one; 0 where it has ended, and where the
        kernel does not tell."""
        source = self._source
        if not isinstance(source, LiveSource) or not source.collector_pid:
            return 0.0
        try:
            ran, waited, _ = Path(f"/proc/{source.collector_pid}/schedstat").read_bytes().split()
        except (OSError, ValueError):
            return 0.0
        return min(1.0, (int(ran) + int(waited)) / 1e9 / max(1e-3, time.monotonic() - self._began))


class StreamSource(Protocol):
    """`open` raises AttachError (live) or codec.StreamError / OSError (file). `blocks` ends when the stream does."""

    live: bool

    def open(self) -> None: ...

    def blocks(self) -> Iterator[list[AnyEvent]]: ...

    def close(self) -> None: ...


class LiveSource:
    """A collector process of our own. Its standard output is the stream; closing its input ends it."""

    live = True

    def __init__(
        self,
        pid: int,
        engine: str = "auto",
        rate: float = 100.0,
        budget: float = 5.0,
        blocking: bool = False,
        labels: str = "safe",
        gentle: bool = False,
        launcher: Launcher | None = None,
    ) -> None:
        self.pid = pid
        self._launcher = launcher or Alone()
        self._arguments = [
            "--pid", str(pid), "--engine", engine,
            "--rate", str(rate), "--budget", str(budget), "--labels", labels, *(["--blocking"] if blocking else []),
            *(["--gentle"] if gentle else []),
        ]  # fmt: skip
        self._process: Running | None = None
        self._errors: list[bytes] = []
        self.rolling: RollingRecording | None = None  #: keeps what passes through `blocks`; set before `open`

    @property
    def stream(self) -> BinaryIO:
        """The raw bytes of the stream, for `record`. Only after `open`; do not mix with `blocks`."""
        assert self._process is not None
        return self._process.stdout

    @property
    def collector_pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def open(self) -> None:
        self._process = self._launcher.launch(self._arguments)
        threading.Thread(target=self._drain_errors, name="concview-collector-stderr", daemon=True).start()

    def _drain_errors(self) -> None:
        assert self._process is not None
        for line in self._process.stderr:
            self._errors.append(line)
            del self._errors[:-20]

    def blocks(self) -> Iterator[list[AnyEvent]]:
        try:
            decode = codec.decode_payload if self.rolling is None else self.rolling.tap(codec.decode_payload)
            yield from codec.read_blocks(self.stream, decode)
        except codec.Damaged:
            return  # killed in the middle of a block: what came before stands, and the session says it was lost
        except codec.StreamError as error:
            raise self.failure() from error

    def failure(self) -> AttachError:
        """Why the collector ended without a stream: its last line on stderr is a JSON object with the reason."""
        assert self._process is not None
        try:
            code = self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            code = 1
        time.sleep(0.02)  # let the drain thread see the last line
        for line in reversed(self._errors):
            try:
                said = json.loads(line)
                return AttachError(str(said["error"]), str(said.get("remedy", "")), code_of(said.get("code")))
            except (ValueError, KeyError, TypeError):
                continue
        detail = self._errors[-1].decode("utf-8", "replace").strip() if self._errors else f"exit code {code}"
        return AttachError(f"the collector did not start ({detail})", code=Code.FAILED)

    def order(self, command: Command) -> None:
        """Pass a command on. What becomes of it is told in the stream."""
        if self._process is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(encode(command))
                self._process.stdin.flush()

    def request_end(self) -> None:
        """Ask the collector to write its last block and end; the stream then ends by itself."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        process = self._process
        if process is None:
            return
        self.request_end()
        with contextlib.suppress(OSError, ValueError):
            os.set_blocking(process.stdout.fileno(), False)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                # One that waits in the kernel for a file system that does not answer goes when that does.
                process.wait(END_TIMEOUT_S)


class FileSource:
    """A recording. `speed` 1.0 plays in real time, 0 as fast as it can be read. It can be held, stepped and sped up.

    Of several processes `number` is the one that is wanted, and `begin_ns` the moment at which the recording begins,
    which for one that came later lies before its first block.
    """

    live = False

    def __init__(self, path: str | Path, speed: float = 1.0, number: int = 0, begin_ns: int = 0) -> None:
        self.path, self.number = Path(path), number
        self._file: BinaryIO | None = None
        self._closed = False
        self._speed = speed
        self._held = False
        self._until = 0.0  #: play without pause up to this moment of the stream, seconds
        self._seeking = False  #: until the next finding
        self._past = 0.0  #: play without pause until a block has come that reaches this moment
        self._given = -1.0  #: the latest moment of what was given out
        self._begin = begin_ns / 1e9
        self._position = 0.0  #: what should have been played by now; stream time, seconds
        self._counted = 0.0  #: up to this moment of the wall clock
        self._changed = threading.Condition()

    def open(self) -> None:
        self._file = self.path.open("rb")

    def blocks(self) -> Iterator[list[AnyEvent]]:
        assert self._file is not None
        for events in codec.read_blocks(self._file, of=self.number):
            at = max((e.at_ns for e in events if hasattr(e, "at_ns")), default=0) / 1e9
            if not self._wait_for(at):
                return
            self._given = max(at, self._given)
            yield events

    def _wait_for(self, at: float) -> bool:
        """Until it is time for this moment of the stream; False when the source was closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if not self._position:  # the first block
                    self._position, self._counted = min(at, self._begin) if self._begin else at, now
                if at <= self._until or self._seeking or (self._held and self._given < self._past):
                    self._position, self._counted = max(at, self._position), now
                    return True
                if self._held:
                    self._counted = now
                    self._changed.wait()
                    continue
                if self._speed <= 0 or not at:
                    self._position, self._counted = max(at, self._position), now
                    return True
                self._position += (now - self._counted) * self._speed
                self._counted = now
                if at <= self._position:
                    return True
                self._changed.wait((at - self._position) / self._speed)
        return False

    def seconds(self) -> float:
        """How long it is, of several processes the recording of the one that is wanted; 0: not known. OSError as
        `open`; codec.StreamError where nothing is readable."""
        with self.path.open("rb") as file:
            first = next(iter(codec.read_blocks(file, of=self.number)), [])
        begin = next((e.at_ns for e in first if isinstance(e, Hello)), 0)
        return max(0, self.last_ns() - begin) / 1e9

    def last_ns(self) -> int:
        """The last moment that it holds, on the stream's clock; 0: not known. OSError as `open`."""
        with self.path.open("rb") as file:
            return codec.last_moment(file, self.number)

    # ------------------------------------------------------------ playing

    @property
    def speed(self) -> float:
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Times real time; 0: as fast as it can be read."""
        with self._changed:
            now = time.monotonic()
            if not self._held and self._position:
                self._position += (now - self._counted) * self._speed
            self._speed, self._counted = speed, now
            self._changed.notify_all()

    def hold(self, held: bool) -> None:
        """Stop playing, or go on."""
        with self._changed:
            self._held, self._counted = held, time.monotonic()
            if not held:
                self._seeking = False
            self._changed.notify_all()

    def play_to(self, at_ns: int) -> None:
        """Play at once up to this moment, also while held."""
        with self._changed:
            self._until = max(self._until, at_ns / 1e9)
            self._changed.notify_all()

    def play_past(self, at_ns: int) -> None:
        """While held, play at once until this moment has come, and the rest of its block."""
        with self._changed:
            self._past = max(self._past, at_ns / 1e9)
            self._changed.notify_all()

    def seek_finding(self) -> None:
        """Play at once up to the next finding, and hold there."""
        with self._changed:
            self._held = self._seeking = True
            self._changed.notify_all()

    def found(self) -> None:
        """The session tells of a finding that was not there before."""
        with self._changed:
            self._seeking = False

    def stop(self) -> None:
        """Give out no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        self.stop()
        if self._file is not None:
            self._file.close()
