"""One connection with an agent, ours of the two ends. Never blocks."""

from __future__ import annotations

import contextlib
import hmac
import select
import socket
import struct

import msgspec

from concview.agent_host.messages import MAX_MESSAGE, BadMessage, Message, decode

_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7)
#: Read at most this much in one go (bytes): the collector has other things to do.
_AT_ONCE = 1 << 20


class Connection:
    """Frames messages. `closed` says why it ended, '' while it lasts."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._buffer = bytearray()
        self.closed = ""
        pid, _, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        #: The other end's process as the kernel knows it, in our own PID namespace.
        self.peer_pid = int(pid)

    def say(self, **message: object) -> None:
        """Send a request. When the agent does not read, it is dropped: it will hear the next one, or is lost anyway."""
        data = msgspec.json.encode(message)
        with contextlib.suppress(BlockingIOError):
            try:
                self._socket.send(struct.pack("<I", len(data)) + data)
            except (BrokenPipeError, ConnectionResetError):
                self.closed = self.closed or "the agent has gone"

    def hear(self) -> list[Message]:
        """What arrived since the last call."""
        found: list[Message] = []
        if self.closed:
            return found
        taken = 0
        while taken < _AT_ONCE and select.select([self._socket], [], [], 0)[0]:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = "the agent has gone"
                break
            taken += len(data)
            self._buffer += data
        try:
            while len(self._buffer) >= 4:
                size = struct.unpack_from("<I", self._buffer)[0]
                if size > MAX_MESSAGE:
                    raise BadMessage(f"a message of {size} bytes")
                if len(self._buffer) < 4 + size:
                    break
                found.append(decode(bytes(self._buffer[4 : 4 + size])))
                del self._buffer[: 4 + size]
        except BadMessage as error:
            self.closed = f"the agent said what it should not ({error})"
        return found

    def close(self) -> None:
        self._socket.close()
        self.closed = self.closed or "closed"


def same(a: str, b: str) -> bool:
    """Whether two tokens are equal, in constant time."""
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode("utf-8", "replace"))
