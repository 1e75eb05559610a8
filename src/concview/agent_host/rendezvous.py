"""Where the agent and we meet: a Unix socket in a private folder that the target can see.

For an agent that comes when asked the folder is ours, new, and gone as soon as the agent is there. For a program that
called `listen()` it is the program's (agent/listener.py).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path

from concview.agent_host.inject import boot
from concview.agent_host.inject.request import CannotInject
from concview.linux.permission import status_fields

#: sizeof(sun_path) - 1, unix(7)
_MAX_PATH = 107


class Meeting:
    """A listening socket and the script that leads the agent to it. CannotInject when there is no room for it."""

    def __init__(self, pid: int, yappi_folders: list[str]) -> None:
        #: What the agent says to us, and we to it.
        self.theirs, self.mine = secrets.token_hex(16), secrets.token_hex(16)
        root = _root(pid)
        self.folder = _make_folder(root, _user(pid) == os.geteuid())
        self._files = [self.folder / name for name in ("socket", "boot.py", "line.py")]
        self.inside = f"/{self.folder.relative_to(root)}" if root else str(self.folder)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            if not self.inside.isascii() or len(str(self._files[0])) > _MAX_PATH:
                raise CannotInject(
                    "the folder for temporary files has too long a name, or not a plain one", "set TMPDIR=/tmp"
                )
            self.socket.bind(str(self._files[0]))
            self.socket.listen(4)
            self.socket.setblocking(False)
            settings: dict[str, object] = {
                "socket": f"{self.inside}/socket", "mine": self.theirs, "theirs": self.mine, "yappi": yappi_folders,
            }  # fmt: skip
            self._files[1].write_text(boot.script(settings), "ascii")
            self.line = boot.line(f"{self.inside}/boot.py")
        except BaseException:
            self.close()
            raise

    def hand_over(self, pid: int) -> None:
        """Let the target's user see the files: root looking at somebody else's program. The folder stays private."""
        fields = status_fields(pid)
        uids, gids = fields.get("Uid", "").split(), fields.get("Gid", "").split()
        if len(uids) < 2 or len(gids) < 2 or int(uids[1]) == os.geteuid():
            return
        for path in (*self._files, self.folder):
            with contextlib.suppress(FileNotFoundError):
                os.chown(path, int(uids[1]), int(gids[1]), follow_symlinks=False)

    def accept(self) -> socket.socket | None:
        """Whoever has connected; None when nobody has."""
        try:
            return self.socket.accept()[0]
        except OSError:
            return None

    def close(self) -> None:
        self.socket.close()
        for path in self._files:
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _root(pid: int) -> Path | None:
    """/proc/PID/root when the target sees other files than we do (a container, a chroot)."""
    try:
        theirs, ours = Path(f"/proc/{pid}/root").stat(), Path("/").stat()
        same = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
        if same and Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink():
            return None
    except OSError:
        return None
    return Path(f"/proc/{pid}/root")


def _user(pid: int) -> int:
    """Its effective user id; -1 when it cannot be told."""
    uids = status_fields(pid).get("Uid", "").split()
    return int(uids[1]) if len(uids) > 1 else -1


def _make_folder(root: Path | None, same_user: bool) -> Path:
    if root is None:
        # Another user could not enter our own runtime folder.
        runtime = os.environ.get("XDG_RUNTIME_DIR", "") if same_user else ""
        places = [Path(runtime)] if runtime and os.access(runtime, os.W_OK) else []
        places.append(Path(tempfile.gettempdir()))
    else:
        places = [root / name for name in ("tmp", "dev/shm", "run")]
    problem = "there is none"
    for place in places:
        try:
            return Path(tempfile.mkdtemp(prefix="concview-", dir=place))  # mode 0700
        except OSError as error:
            problem = error.strerror or str(error)
    raise CannotInject(f"there is no folder that both the target and concview can use ({problem})")


class Endpoint:
    """The socket and tokens of a program that called `concview.agent.listen()`."""

    def __init__(self, pid: int, path: Path, theirs: str, mine: str) -> None:
        self.pid, self.path, self.theirs, self.mine = pid, path, theirs, mine

    def connect(self) -> socket.socket | None:
        """None when nobody listens there (any more)."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connected.settimeout(0.5)
        try:
            connected.connect(str(self.path))
        except OSError:
            connected.close()
            return None
        return connected


def find_listener(pid: int) -> Endpoint | None:
    """None when the program does not listen, or its files are not ours to read."""
    fields = status_fields(pid)
    uids, numbers = fields.get("Uid", "").split(), fields.get("NSpid", "").split()
    if len(uids) < 2:
        return None
    inside = numbers[-1] if numbers else str(pid)
    root = _root(pid) or Path("/")
    for folder in _listener_folders(pid, int(uids[1])):
        place = root / folder.lstrip("/")
        with contextlib.suppress(OSError, ValueError):
            found = place.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != int(uids[1]) or found.st_mode & 0o077:
                continue  # somebody else could have put things there
            theirs, mine = (place / f"{inside}.key").read_text("ascii").split()
            if (place / f"{inside}.sock").is_socket():
                return Endpoint(pid, place / f"{inside}.sock", theirs, mine)
    return None


def _listener_folders(pid: int, uid: int) -> list[str]:
    """Where `agent.listener.folder` puts its folder, with the target's own environment."""
    values: dict[bytes, str] = {}
    with contextlib.suppress(OSError):
        for item in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = item.partition(b"=")
            values[name] = os.fsdecode(value)
    folders = [f"{values[b'XDG_RUNTIME_DIR']}/concview"] if values.get(b"XDG_RUNTIME_DIR") else []
    temporary = [values[n] for n in (b"TMPDIR", b"TEMP", b"TMP") if values.get(n)] + ["/tmp", "/var/tmp", "/usr/tmp"]
    return folders + [f"{folder}/concview-{uid}" for folder in temporary]
