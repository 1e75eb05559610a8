"""File systems that another machine or process answers for: NFS, SMB, FUSE. One that does not answer stops whoever
looks at a file on it, us as well."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from concview.text import clean

#: Types whose server is elsewhere (proc(5), mountinfo; filesystems(5) and the kernel's fs/ folder).
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "lustre", "beegfs", "gfs2", "ocfs2",
     "glusterfs", "gpfs", "fuse", "fuseblk"}
)  # fmt: skip
#: The list of mounts is read again after so long; a file system that did not answer in `_PATIENCE_S` is left alone for
#: `_GRACE_S`.
_LIST_S, _PATIENCE_S, _GRACE_S = 30.0, 1.0, 60.0
#: Of one listing.
_MOST = 1 << 20
_T = TypeVar("_T")


class Mount(NamedTuple):
    folder: str  #: where it is mounted, as the target sees it
    kind: str
    source: str

    @property
    def remote(self) -> bool:
        return self.kind in _REMOTE or self.kind.startswith("fuse.")

    @property
    def name(self) -> str:
        """'nfs4 nas:/export'."""
        return clean(f"{self.kind} {self.source}", 80)


class Mounts:
    """The mounts of one process's namespace, as its own list tells them: reading that asks no server."""

    def __init__(self, pid: int | str, clock: Callable[[], float] = time.monotonic) -> None:
        self._list, self._clock = f"/proc/{pid}/mountinfo", clock
        self._again = 0.0
        self._mounts: list[Mount] = []  #: all, the later of two at one place in front; none where none is remote
        self._silent: dict[str, float] = {}  #: by folder: until when it is not asked

    def remote(self, path: str) -> Mount | None:
        """The file system of an absolute path, where it is a remote one. Symbolic links in it are not followed."""
        now = self._clock()
        if now >= self._again:
            self._again = now + _LIST_S
            mounts = parse(_read(self._list))
            # Most machines have none, and a host of containers thousands of others.
            self._mounts = mounts if any(m.remote for m in mounts) else []
        found = max((m for m in self._mounts if _below(path, m.folder)), key=lambda m: len(m.folder), default=None)
        return found if found is not None and found.remote else None

    def ask(self, path: str, what: Callable[[], _T]) -> _T | None:
        """What `what` gives, which has to do with that absolute path. On a remote file system it is done in a thread of
        its own, and None if that takes longer than a second; then nothing is asked about that file system for a minute.
        The thread may stay in the kernel until the file system answers: even the end of the process then waits for it.
        """
        mount = self.remote(path)
        if mount is None:
            return what()
        now = self._clock()
        if now < self._silent.get(mount.folder, 0.0):
            return None
        told: list[_T] = []
        thread = threading.Thread(target=lambda: told.append(what()), name="asks a file system", daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if thread.is_alive():
            self._silent[mount.folder] = now + _GRACE_S
            return None
        return told[0] if told else None


def parse(text: str) -> list[Mount]:
    """Lines '42 27 0:39 / /mnt/data rw,relatime shared:1 - nfs4 nas:/export rw': the fields after the '-' are type and
    source; octal escapes stand for blanks."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) >= 5 and len(right) >= 2:
            found.append(Mount(_plain(left[4]), _plain(right[0]), _plain(right[1])))
    return found[::-1]


def _plain(text: str) -> str:
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, char)
    return text


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith("/") else folder + "/")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(_MOST))
    except OSError:
        return ""
