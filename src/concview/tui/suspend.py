"""Ctrl-Z: whether there is a shell that could bring a stopped dashboard back."""

from __future__ import annotations

import os
from pathlib import Path

NO_SHELL = "there is no shell here that could bring it back (fg); q quits"
WATCHED_PROGRAM = (
    "not while it runs a program: nobody would read what that prints, and it would come to a halt; q quits both"
)


def job_control() -> bool:
    """Whether a shell of this terminal's session waits for our process group. A group without one (`ssh -t HOST
    concview`, `docker run -it`) is orphaned: stopped, nobody would continue it."""
    session, group, pid = os.getsid(0), os.getpgrp(), os.getppid()
    for _ in range(64):
        if pid <= 0:
            return False
        try:
            if os.getsid(pid) != session:
                return False
            if os.getpgid(pid) != group:
                return True
            pid = _parent(pid)
        except (OSError, ValueError, IndexError):
            return False
    return False


def _parent(pid: int) -> int:
    """By the kernel; the name in brackets may have anything in it."""
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
