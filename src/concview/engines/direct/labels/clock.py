"""When a target's clocks say that something began, on ours."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from concview.labels.base import Raw


class TargetClock:
    def __init__(self, pid: int, started: float) -> None:
        """`started`: when the process did, in seconds since 1970."""
        self._pid, self._started = pid, started
        self._zone: bool | None = None

    def began(self, raw: Raw, now: int) -> int:
        """On CLOCK_MONOTONIC; 0 where it is not told, or cannot be."""
        if raw.started_s:
            at = int(raw.started_s * 1e9)
        elif raw.wall_s:
            at = now - int((time.time() - raw.wall_s) * 1e9)
        elif raw.local is not None and self._same_zone():
            wall = datetime.fromtimestamp(raw.local, UTC).replace(tzinfo=None).timestamp()
            at = now - int((time.time() - wall) * 1e9)
        else:
            return 0
        return self.since(at, now)

    def since(self, at: int, now: int) -> int:
        """A beginning that was read; 0 where it cannot be one."""
        late = time.monotonic_ns()
        born = late - int((time.time() - self._started) * 1e9)
        # A clock that was set, or a value that is none.
        return min(at, now) if born - 1_000_000_000 <= at <= late + 1_000_000 else 0

    def _same_zone(self) -> bool:
        """Whether the target's local time is ours."""
        if self._zone is None:
            try:
                variables = Path(f"/proc/{self._pid}/environ").read_bytes().split(b"\0")
                theirs = next((v[3:] for v in variables if v.startswith(b"TZ=")), None)
                ours = os.environ.get("TZ")
                self._zone = theirs == (ours.encode() if ours is not None else None)
                if self._zone and theirs is None:
                    root = f"/proc/{self._pid}/root"
                    self._zone = _zone_file(root) == _zone_file("")
            except OSError:
                self._zone = False
        return self._zone


def _zone_file(root: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"{root}/etc/localtime").read_bytes()
    return b""
