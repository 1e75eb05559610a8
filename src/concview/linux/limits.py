"""What a process may use: CPUs (affinity cut by cgroup quotas), memory, descriptors; cgroup versions 1 and 2.

A limit of any cgroup above the process binds it too, so the whole chain up to the root is read.
"""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Memory limits above this mean 'no limit' (cgroup v1 writes a number close to 2**63).
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Limits:
    cpus: float  #: CPUs it may use at once
    machine_cpus: int
    memory: int  #: bytes
    descriptors: int  #: soft limit; 0 unknown
    quota: float = 0.0  #: CPUs of the tightest cgroup quota; 0 none
    address_space: int = 0  #: bytes (RLIMIT_AS); 0 none
    data: int = 0  #: bytes of private writable memory (RLIMIT_DATA); 0 none


def _mounts() -> dict[str, Path]:
    """Controller name ('cpu', 'memory') -> mount point for version 1; '' -> mount point of version 2."""
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, place, kind, options = [*line.split()[:4], "", "", "", ""][:4]
            path = Path(place.replace("\\040", " "))
            if kind == "cgroup2":
                found.setdefault("", path)
            elif kind == "cgroup":
                for option in options.split(","):
                    found.setdefault(option, path)
    return found


def cgroups(pid: int) -> dict[str, str]:
    """Controller name -> path of the process's cgroup; '' is version 2. Empty when it cannot be read."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, controllers, path = [*line.rstrip("\n").split(":", 2), "", "", ""][:3]
            for controller in controllers.split(","):
                found[controller] = path
    return found


def cgroup_folders(pid: int, controller: str) -> list[Path]:
    """Folders of the process's cgroup and of those above it, innermost first. Empty: not mounted here."""
    mounts, groups = _mounts(), cgroups(pid)
    version = controller if controller in mounts and controller in groups else ""
    if version not in mounts or version not in groups:
        return []
    root = mounts[version]
    # '/..' in front: the group lies outside our own cgroup namespace, and only its lower part can be seen, if at all.
    parts = [part for part in groups[version].split("/") if part and part != ".."]
    chain = [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [folder for folder in chain if folder.is_dir()]


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def cpu_quota(pid: int) -> float:
    """CPUs that the tightest quota allows; 0 when there is none."""
    quotas: list[float] = []
    for folder in cgroup_folders(pid, "cpu"):
        two = _text(folder / "cpu.max").split()
        if len(two) == 2 and two[0].isdigit():
            quotas.append(int(two[0]) / int(two[1]))
        one, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if one.isdigit() and period.isdigit() and int(period):  # '-1' is no limit
            quotas.append(int(one) / int(period))
    return min(quotas, default=0.0)


def memory_limit(pid: int) -> int:
    """Bytes: the smallest of the cgroups' limits and the machine's memory."""
    limits = [int(psutil.virtual_memory().total)]
    for folder in cgroup_folders(pid, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name)
            if text.isdigit() and 0 < int(text) < _NO_LIMIT:
                limits.append(int(text))
    return min(limits)


def throttle_files(pid: int) -> list[Path]:
    """The cpu.stat of every group around the process that has a quota: what the group whose quota was hit counts is
    counted in no other, neither above nor below. Where none has one, the innermost group's."""
    there = [folder for folder in cgroup_folders(pid, "cpu") if (folder / "cpu.stat").is_file()]
    limited = []
    for folder in there:
        quota = _text(folder / "cpu.max") or _text(folder / "cpu.cfs_quota_us")
        if quota and not quota.startswith(("max", "-1")):
            limited.append(folder)
    return [folder / "cpu.stat" for folder in limited or there[:1]]


def parse_throttled(text: str) -> float:
    """Seconds of throttling in a cpu.stat: microseconds in version 2, nanoseconds in version 1. 0 without a quota."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "throttled_usec":
            return int(value) / 1e6
        if name == "throttled_time":
            return int(value) / 1e9
    return 0.0


def limits(pid: int) -> Limits:
    """All of it. Never raises: what cannot be read counts as not limited (0 for descriptors)."""
    machine = psutil.cpu_count() or 1
    allowed = float(machine)
    with contextlib.suppress(OSError):
        allowed = float(len(os.sched_getaffinity(pid)))
    quota = cpu_quota(pid)
    return Limits(
        min(allowed, quota) if quota else allowed,
        machine,
        memory_limit(pid),
        _soft(pid, resource.RLIMIT_NOFILE),
        quota,
        _soft(pid, resource.RLIMIT_AS),
        _soft(pid, resource.RLIMIT_DATA),
    )


def _soft(pid: int, which: int) -> int:
    """The soft limit; 0 when there is none or it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return max(0, resource.prlimit(pid, which)[0])  # RLIM_INFINITY is -1
    return 0
