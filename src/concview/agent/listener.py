"""Where a program that called `listen()` waits for the dashboard: a Unix socket and two tokens in a private folder.

The folder is $XDG_RUNTIME_DIR/concview, or concview-UID in the folder for temporary files. It must be a real folder of
ours with mode 0700; files in it are named after the process.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import _socket
import os
import stat
import tempfile

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any


def folder(uid: int) -> str:
    """The folder's path for programs of that user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and uid == os.geteuid():
        return os.path.join(runtime, "concview")
    return os.path.join(tempfile.gettempdir(), "concview-%d" % uid)


def private(path: str) -> None:
    """Make the folder, or check the one that is there. PermissionError when somebody else could put things in it."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError("%s is not a folder that only this user can enter" % path)


class ListeningSocket:
    """A listening socket, and the tokens that both sides must know. OSError when it cannot be made."""

    def __init__(self) -> None:
        where = folder(os.geteuid())
        private(where)
        self.pid = os.getpid()
        self.path = os.path.join(where, "%d.sock" % self.pid)
        self._keys = os.path.join(where, "%d.key" % self.pid)
        self.mine, self.theirs = os.urandom(16).hex(), os.urandom(16).hex()
        self.remove()  # of a dead process with our number
        self.socket: Any = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self.socket.bind(self.path)
            os.chmod(self.path, 0o600)
            self.socket.listen(1)
            # Last: whoever finds the tokens may knock, and before `listen` would be refused.
            keys = os.open(self._keys, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(keys, ("%s %s\n" % (self.mine, self.theirs)).encode("ascii"))
            finally:
                os.close(keys)
        except BaseException:
            self.close()
            raise

    def accept(self) -> Any:
        """The next connected socket; waits for ever. OSError when it is closed."""
        descriptor, _ = self.socket._accept()
        return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)

    def remove(self) -> None:
        for path in (self.path, self._keys):
            try:
                os.unlink(path)
            except OSError:
                pass

    def close(self) -> None:
        try:
            self.socket.shutdown(_socket.SHUT_RDWR)  # wakes the thread in accept
        except OSError:
            pass
        self.socket.close()
        if os.getpid() == self.pid:  # a forked child closes its copy and leaves the parent's files alone
            self.remove()
