"""The most memory that this program has had at a time."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB", re.M)


def own_peak() -> int:
    """Bytes, by VmHWM of /proc/self/status (proc(5)). What `getrusage` tells outlives an `exec`: of a program that was
    just started it is what its parent had. Where /proc cannot be read, it is that all the same."""
    try:
        found = _PEAK.search(Path("/proc/self/status").read_bytes())
    except OSError:
        found = None
    return int(found[1]) << 10 if found is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
