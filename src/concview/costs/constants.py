"""What single operations cost: measured on this machine where `concview costs` was run, else what ships with concview.

Measurements are kept per machine and per Python version in `$XDG_CACHE_HOME/concview/costs` (~/.cache without it), one
JSON file each: `{"schema": 1, "machine": ..., "python": ..., "at": epoch, "costs": {name: {"cpu_s": ..., ...}}}`.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

#: CPU seconds of one operation, measured on CPython 3.11 on a 2-core virtual machine: what rules reckon with where
#: nobody has measured.
SHIPPED: Mapping[str, float] = {"thread": 114e-6, "pool_of_threads": 537e-6, "future": 23e-6, "lock_free": 0.17e-6}
SHIPPED_SOURCE = "as measured on CPython 3.11 on a 2-core machine; 'concview costs' measures it here"


class Cost(msgspec.Struct, frozen=True):
    """One operation: medians over the rounds, with the interval in which the median lies with 95 % certainty."""

    name: str
    wall_s: float
    wall_low_s: float
    wall_high_s: float
    cpu_s: float
    cpu_low_s: float
    cpu_high_s: float
    rounds: int


class Measured(msgspec.Struct, frozen=True):
    """Everything that was measured of one Python on one machine."""

    schema: int
    machine: str
    python: str  #: '3.13.0', with 't' where it is free-threaded
    executable: str
    at: float  #: seconds since the epoch
    load1: float  #: load average while it was measured
    cpus: int
    costs: tuple[Cost, ...]
    failed: dict[str, str] = {}  #: name -> why


@dataclass(frozen=True, slots=True)
class CostTable:
    """What the rules ask. `source` says where the numbers come from, in words that fit behind a comma."""

    seconds: Mapping[str, float] = field(default_factory=lambda: SHIPPED)
    source: str = SHIPPED_SOURCE

    def __getitem__(self, name: str) -> float:
        """CPU seconds of one operation; KeyError for one that nobody measures."""
        return self.seconds[name] if name in self.seconds else SHIPPED[name]


def machine() -> str:
    """This machine, told apart from others by what changes such costs: CPU model, their number, and the kernel."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}"


def cache_file(python: str) -> Path:
    """Where the measurement of that Python version on this machine is kept; it need not exist."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(f"{machine()}\0{python}".encode()).hexdigest()[:16]
    return root / "concview" / "costs" / f"{name}.json"


def kept(python: str) -> Measured | None:
    """What was measured here of that Python version; None where nothing usable is kept."""
    try:
        found = msgspec.json.decode(cache_file(python).read_bytes(), type=Measured)
    except (OSError, msgspec.DecodeError, RuntimeError):  # RuntimeError: no home folder is known
        return None
    return found if found.schema == 1 and found.python == python else None


def table(python: str) -> CostTable:
    """For a process that runs on this machine with that Python version."""
    found = kept(python)
    if found is None:
        return CostTable()
    seconds = {c.name: c.cpu_s for c in found.costs if c.cpu_s > 0}
    return CostTable({**SHIPPED, **seconds}, "measured on this machine by 'concview costs'")
