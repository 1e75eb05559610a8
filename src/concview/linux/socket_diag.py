"""Sockets as the kernel's diagnostics tell them (NETLINK_SOCK_DIAG): the other end's inode, bytes in the queues.

One dump of a kind costs some 0.1 ms and 1 to 2 µs a socket. What it tells is of the network namespace of whoever asks.
`include/uapi/linux/{sock_diag,unix_diag,inet_diag}.h`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP, _DONE, _ERROR = 1, 0x300, 3, 2
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_MOST_ERRNO = 4095  #: MAX_ERRNO, include/linux/err.h
#: unix_diag: UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN; the attributes that answer it.
_SHOW, _PEER, _CALLERS, _QUEUES = 0x4 | 0x8 | 0x10, 2, 3, 4
#: ... with UDIAG_SHOW_NAME, which is answered by the path.
_SHOW_NAME, _NAME = 1, 0
#: inet_diag_sockid: ports in network order, 16 bytes each of source and destination, interface, cookie.
_SOCKID = struct.Struct("=2s2s16s16sI8s")
#: inet_diag: the message before its attributes; INET_DIAG_INFO asked for and answered; in tcp_info
#: (`include/uapi/linux/tcp.h`) where tcpi_notsent_bytes is, since Linux 4.6.
_MESSAGE = 4 + _SOCKID.size + 20
_SHOW_INFO, _INFO, _UNSENT = 1 << 1, 2, 144
#: ... and tcpi_last_data_sent and tcpi_last_data_recv: milliseconds ago.
_LAST_SENT, _LAST_CAME = 44, 52
#: INET_DIAG_SKMEMINFO asked for and answered; in it SK_MEMINFO_DROPS (`include/uapi/linux/sock_diag.h`), of a listening
#: socket since Linux 4.6 also how often somebody who wanted to connect was turned away (`tcp_listendrop`).
_SHOW_MEMORY, _MEMORY, _DROPS = 1 << 6, 7, 32
_TCP_STATES = {
    1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 8: "CLOSE_WAIT", 9: "LAST_ACK",
    11: "CLOSING",
}  # fmt: skip
_LISTEN = 10
#: Sockets of one kind that are looked at.
MAX_SOCKETS = 50_000
#: Connections at one port that are looked through for those that wait.
MAX_CONNECTIONS = 20_000
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_TIMEOUT_S = 1.0


End = tuple[bytes, int]  #: address (4 or 16 bytes) and port


class UnixSocket(NamedTuple):
    inode: int
    peer: int  #: inode of the other end; 0 for none
    received: int = -1  #: bytes not yet read; -1 not told
    sent: int = -1  #: bytes sent that the other end has not read
    #: Nobody has accepted it yet: so many connections wait so, and `peer` is the socket that listens. Else 0.
    pending: int = 0


class TcpListener(NamedTuple):
    inode: int
    waiting: int  #: connections that nobody has accepted yet


class Listening(NamedTuple):
    """A socket that listens, with the queue of those that nobody has accepted yet."""

    inode: int
    kind: str  #: 'tcp', 'unix'
    local: End  #: address and port; of a Unix socket its path (in the abstract name space with a 0 before it) and 0
    waiting: int
    most: int = -1  #: `waiting` is above it when the queue is full; -1 not told
    #: Packets that it has dropped since it listens: those of who was turned away, and others; -1 not told.
    drops: int = -1
    callers: tuple[int, ...] = ()  #: of a Unix socket: inodes of those that wait


class TcpSocket(NamedTuple):
    inode: int
    state: str
    received: int
    sent: int  #: not yet acknowledged
    unsent: int = -1  #: of these, bytes that the kernel holds back; -1 it does not tell
    #: So long ago something was last sent, and came; milliseconds, -1 it does not tell.
    sent_ms: int = -1
    came_ms: int = -1


class Network:
    """The network of a process, whose sockets the kernel shall tell of: ours, or another one of its own (a container),
    into which a thread of ours goes for the moment in which a socket is made; that socket stays there."""

    def __init__(self, pid: int | str) -> None:
        self.why = ""  #: why it cannot be asked; empty when it can
        self._folder = f"/proc/{pid}/ns/net"
        try:
            self.ours = os.readlink(self._folder) == os.readlink("/proc/self/ns/net")  # noqa: PTH115
            if not self.ours:
                self._link().close()
        except OSError as error:
            self.ours = False
            self.why = (
                f"the process is in another network namespace, which may not be entered ({error.strerror}): "
                "run concview with CAP_SYS_ADMIN, or inside it (nsenter -t PID -n)"
            )

    def _link(self) -> socket.socket:
        if self.ours:
            return _new_link()
        answer: list[socket.socket | OSError] = []
        thread = threading.Thread(target=self._inside, args=(answer,), name="concview-network")
        thread.start()
        thread.join()
        made = answer[0]
        if isinstance(made, OSError):
            raise made
        return made

    def _inside(self, answer: list[socket.socket | OSError]) -> None:
        """In a thread that ends with this: no other one of ours is moved."""
        try:
            fd = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, _CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code))
            finally:
                os.close(fd)
            answer.append(_new_link())
        except OSError as error:
            answer.append(error)

    def unix_sockets(self) -> dict[int, UnixSocket]:
        """inode -> connected Unix socket. OSError where the kernel does not answer."""
        with self._link() as link:
            return _unix_sockets(link)

    def tcp_socket(self, local: End, remote: End) -> TcpSocket | None:
        """The one TCP socket with these ends; None when this network has none. One question, whatever their number.
        OSError where the kernel does not answer."""
        with self._link() as link:
            return _tcp_socket(link, local, remote)

    def tcp_listener(self, local: End) -> TcpListener | None:
        """The socket that listens at this end; None where none does, or it is not told. OSError where the kernel does
        not answer."""
        with self._link() as link:
            return _tcp_listener(link, local)

    def listening(self) -> list[Listening]:
        """All sockets that listen, of TCP and of Unix. OSError where the kernel does not answer."""
        with self._link() as link:
            of_tcp = [one for family in (socket.AF_INET, socket.AF_INET6) for one in _tcp_listening(link, family)]
            return [*of_tcp, *_unix_listening(link)]

    def unaccepted(self, local: End) -> list[End] | None:
        """Of a TCP port: the other ends of those that nobody has accepted; None where there are too many connections to
        look through. OSError where the kernel does not answer."""
        with self._link() as link:
            return _unaccepted(link, local)


def _new_link() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)


def _unix_sockets(link: socket.socket) -> dict[int, UnixSocket]:
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW, 0xFFFFFFFF, 0xFFFFFFFF)
    found: dict[int, UnixSocket] = {}
    unaccepted: dict[int, UnixSocket] = {}
    for body in _ask(link, request, _DUMP):
        if len(body) < 16:
            continue
        inode = struct.unpack_from("=I", body, 4)[0]
        peer = received = sent = 0
        callers: list[int] = []
        for kind, value in _attributes(body, 16):
            if kind == _PEER and len(value) >= 4:
                peer = struct.unpack_from("=I", value)[0]
            elif kind == _QUEUES and len(value) >= 8:
                received, sent = struct.unpack_from("=II", value)
            elif kind == _CALLERS:
                callers = [caller for (caller,) in struct.iter_unpack("=I", value[: len(value) & ~3])]
        if peer:
            found[inode] = UnixSocket(inode, peer, received, sent)
        for caller in callers:
            unaccepted[caller] = UnixSocket(caller, inode, pending=len(callers))
    return {**unaccepted, **found}


def _tcp_socket(link: socket.socket, local: End, remote: End) -> TcpSocket | None:
    family = socket.AF_INET if len(local[0]) == 4 else socket.AF_INET6
    ends = (local[1].to_bytes(2, "big"), remote[1].to_bytes(2, "big"), local[0], remote[0])
    states = sum(1 << state for state in _TCP_STATES)
    body = _one_tcp(link, family, states, ends, _SHOW_INFO)
    if len(body) < _MESSAGE or body[1] == _LISTEN:
        return None  # where nothing is connected so, the kernel tells of the socket that listens there
    _, received, sent, _, inode = struct.unpack_from("=5I", body, 4 + _SOCKID.size)
    info = next((value for kind, value in _attributes(body, _MESSAGE) if kind == _INFO), b"")
    unsent = struct.unpack_from("=I", info, _UNSENT)[0] if len(info) >= _UNSENT + 4 else -1
    last = [struct.unpack_from("=I", info, at)[0] if len(info) >= at + 4 else -1 for at in (_LAST_SENT, _LAST_CAME)]
    return TcpSocket(inode, _TCP_STATES.get(body[1], str(body[1])), received, sent, unsent, *last)


def _tcp_listener(link: socket.socket, local: End) -> TcpListener | None:
    family = socket.AF_INET if len(local[0]) == 4 else socket.AF_INET6
    ends = (local[1].to_bytes(2, "big"), bytes(2), local[0], bytes(len(local[0])))
    body = _one_tcp(link, family, 1 << _LISTEN, ends, 0)
    if len(body) < _MESSAGE or body[1] != _LISTEN:
        return None
    _, waiting, _, _, inode = struct.unpack_from("=5I", body, 4 + _SOCKID.size)
    return TcpListener(inode, waiting)


def _tcp_listening(link: socket.socket, family: int) -> Iterator[Listening]:
    for body in _tcp_dump(link, family, 1 << _LISTEN, 0, _SHOW_MEMORY):
        port, _, address, _, _, _ = _SOCKID.unpack_from(body, 4)
        _, waiting, most, _, inode = struct.unpack_from("=5I", body, 4 + _SOCKID.size)
        memory = next((value for kind, value in _attributes(body, _MESSAGE) if kind == _MEMORY), b"")
        drops = struct.unpack_from("=I", memory, _DROPS)[0] if len(memory) >= _DROPS + 4 else -1
        local = address[: 4 if family == socket.AF_INET else 16], int.from_bytes(port, "big")
        yield Listening(inode, "tcp", local, waiting, most, drops)


def _unaccepted(link: socket.socket, local: End) -> list[End] | None:
    """No process has them open yet: their inode is 0."""
    family = socket.AF_INET if len(local[0]) == 4 else socket.AF_INET6
    found: list[End] = []
    at = 4 + _SOCKID.size + 16
    states = 1 << 1 | 1 << 8  # ESTABLISHED; CLOSE_WAIT: who waited has given up meanwhile
    for count, body in enumerate(_tcp_dump(link, family, states, local[1], 0)):
        if count >= MAX_CONNECTIONS:
            return None
        if body[at : at + 4] == b"\0\0\0\0":
            _, port, _, address, _, _ = _SOCKID.unpack_from(body, 4)
            found.append((address[: len(local[0])], int.from_bytes(port, "big")))
    return found


def _tcp_dump(link: socket.socket, family: int, states: int, port: int, show: int) -> Iterator[bytes]:
    """All sockets in one of these states, `port` their own; 0 any."""
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, show, 0, states)
    request += _SOCKID.pack(port.to_bytes(2, "big"), bytes(2), b"", b"", 0, bytes(8))
    return (body for body in _ask(link, request, _DUMP) if len(body) >= _MESSAGE)


def _unix_listening(link: socket.socket) -> Iterator[Listening]:
    show = _SHOW_NAME | _SHOW
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 1 << _LISTEN, 0, show, 0xFFFFFFFF, 0xFFFFFFFF)
    for body in _ask(link, request, _DUMP):
        if len(body) < 16 or body[2] != _LISTEN:
            continue
        name, waiting, most, callers = b"", 0, -1, ()
        for kind, value in _attributes(body, 16):
            if kind == _NAME:
                name = value
            elif kind == _QUEUES and len(value) >= 8:
                waiting, most = struct.unpack_from("=II", value)
            elif kind == _CALLERS:
                callers = tuple([caller for (caller,) in struct.iter_unpack("=I", value[: len(value) & ~3])])
        inode = struct.unpack_from("=I", body, 4)[0]
        yield Listening(inode, "unix", (name, 0), waiting, most, -1, callers)


def _one_tcp(
    link: socket.socket, family: int, states: int, ends: tuple[bytes, bytes, bytes, bytes], show: int
) -> bytes:
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, show, 0, states)
    request += _SOCKID.pack(*ends, 0, b"\xff" * 8)  # INET_DIAG_NOCOOKIE
    try:
        return next(_ask(link, request, 0), b"")
    except FileNotFoundError:
        return b""


def end(text: str) -> End | None:
    """'127.0.0.1:80', '[::1]:80' (as `sockets.join` writes it) -> (address, port); None for anything else."""
    host, _, port = text.partition(" ")[0].rpartition(":")
    try:
        if host.startswith("["):
            return socket.inet_pton(socket.AF_INET6, host[1:-1]), int(port)
        return socket.inet_pton(socket.AF_INET, host), int(port)
    except (OSError, ValueError):
        return None


def _ask(link: socket.socket, request: bytes, flags: int) -> Iterator[bytes]:
    """The bodies of all answers."""
    link.settimeout(_TIMEOUT_S)
    link.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST | flags, 1, 0) + request)
    count = 0
    while count < MAX_SOCKETS:
        data = link.recv(1 << 16)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if kind == _DONE or length < _HEADER.size:
                return
            if kind == _ERROR:
                number = data[at + _HEADER.size :][:4]
                code = -int.from_bytes(number, sys.byteorder, signed=True) & _MOST_ERRNO
                raise OSError(code, os.strerror(code))
            count += 1
            yield data[at + _HEADER.size : at + length]
            at += length + 3 & ~3
        if not data or not flags:
            return


def _attributes(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, body[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
