"""Which processes have a piece of shared memory mapped."""

# ruff: noqa: PTH116, PTH208 - names under /proc stay text

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

#: Bytes read of one process's.
_MOST_MAPS = 16 << 20
#: Processes that are asked.
_MOST = 1_000


def others_with(keys: Iterable[str], pid: int) -> dict[str, int]:
    """'00:1b:1234+0' (device, inode, offset) -> how many processes but this one have that file mapped; -1 where not all
    could be asked. What was unlinked is handed down by fork or at the start of a child: a process of another user or
    another session that may not be looked at is taken not to have it. Costs a look at the mappings of every process."""
    wanted = {}
    for key in keys:
        device, _, inode = key.partition("+")[0].rpartition(":")
        wanted[key] = f" {device} {inode} ".encode()
    found = dict.fromkeys(wanted, 0)
    mine = _belongs(pid)
    try:
        pids = processes()
    except OSError:
        return dict.fromkeys(wanted, -1)
    complete = len(pids) <= _MOST
    for other, text in mappings(other for other in pids[:_MOST] if other != pid):
        if text is None:
            complete = complete and _belongs(other) != mine
            continue
        complete = complete and len(text) < _MOST_MAPS
        for key, part in wanted.items():
            found[key] += part in text
    return {key: number if complete or number else -1 for key, number in found.items()}


def processes() -> list[int]:
    """Of this PID namespace. Raises OSError."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def mappings(pids: Iterable[int]) -> Iterator[tuple[int, bytes | None]]:
    """(pid, its /proc/PID/maps, `_MOST_MAPS` bytes of it at most); None where that may not be read. Those that have
    ended are left out."""
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                text = file.read(_MOST_MAPS)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:
            yield pid, None
            continue
        yield pid, text


def _belongs(pid: int) -> tuple[int, int]:
    """(user, session); -1: not known."""
    try:
        return os.stat(f"/proc/{pid}").st_uid, os.getsid(pid)
    except OSError:
        return -1, -1
