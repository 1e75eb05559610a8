"""Messages between the agent and the dashboard: four bytes of length (little-endian), then that much JSON.

Both sides are checked: the kernel says whose process is at the other end, and each side must say a token that only the
other one and the file system's owner know. JSON objects only; nothing that arrives is ever evaluated or unpickled.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

# The C module: never monkey-patched, and there is no finaliser that warns about an unclosed socket.
import _socket
import json
import os
import struct

from .originals import original

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: No request is longer (bytes): they are commands of a few words.
MAX_REQUEST = 1 << 16
#: A message that cannot be delivered within this time (seconds) means that nobody reads: the dashboard is frozen.
SEND_TIMEOUT_S = 1.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)


class Gone(Exception):
    """The other side closed, is not who it should be, or says what is not a message of ours."""


def connect(path: str) -> Any:
    """A connected socket. OSError when nobody listens there."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        made.settimeout(SEND_TIMEOUT_S)
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made


class Link:
    """One connection, checked for its peer. Owns the socket."""

    def __init__(self, connected: Any) -> None:
        self._socket = connected
        self._buffer = b""
        self._select = original("select", "select")
        try:
            connected.settimeout(SEND_TIMEOUT_S)
            raw = connected.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
            self.peer_pid, self.peer_uid, _ = _CREDENTIALS.unpack(raw)
        except OSError:
            connected.close()
            raise
        if self.peer_uid not in (0, os.geteuid()):
            connected.close()
            raise Gone("the other side belongs to another user")

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode("ascii")
        try:
            self._socket.sendall(struct.pack("<I", len(data)) + data)
        except OSError:
            raise Gone("cannot be written to") from None

    def receive(self, seconds: float) -> list[dict[str, Any]]:
        """What arrived, after waiting for it up to `seconds`; empty when nothing did."""
        try:
            if not self._select([self._socket], [], [], seconds)[0]:
                return []
            data = self._socket.recv(MAX_REQUEST)
        except (OSError, ValueError):
            raise Gone("cannot be read from") from None
        if not data:
            raise Gone("closed")
        self._buffer += data
        found = []
        while len(self._buffer) >= 4:
            size = struct.unpack_from("<I", self._buffer)[0]
            if size > MAX_REQUEST:
                raise Gone("a message that is too long")
            if len(self._buffer) < 4 + size:
                break
            try:
                message = json.loads(self._buffer[4 : 4 + size].decode("utf-8"))
            except (ValueError, RecursionError):
                raise Gone("a message that is no JSON") from None
            self._buffer = self._buffer[4 + size :]
            if not isinstance(message, dict) or not isinstance(message.get("do"), str):
                raise Gone("a message that is no request")
            found.append(message)
        return found

    def close(self) -> None:
        try:
            self._socket.close()
        except OSError:
            pass


def same(a: Any, b: str) -> bool:
    """Whether two tokens are equal, in a time that does not depend on where they differ."""
    if not isinstance(a, str) or len(a) != len(b):
        return False
    difference = 0
    for left, right in zip(a, b):
        difference |= ord(left) ^ ord(right)
    return difference == 0


def plain(raw: Any, limit: int = 300) -> str:
    """A string of the program's as JSON can carry it: no lone surrogates, cut at `limit`."""
    text = raw if isinstance(raw, str) else ""
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
