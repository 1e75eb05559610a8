"""The kernel's socket tables of one network namespace: inode -> addresses and state. No name server is ever asked.

/proc/PID/net/tcp costs milliseconds to read on some kernels (5 ms with an empty table where the hash is large), so
reading is rationed: a table is read again only when its last reading has been paid off (`SHARE`).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from functools import cache

from msgspec import structs

from concview.model import Peer
from concview.text import clean

#: Reading tables may take this share of the time at most.
SHARE = 0.01
#: Never read one table more often than this, seconds.
MIN_INTERVAL = 0.2
#: Bytes of one table kept at most; a machine with 50,000 connections has 7.5 MB.
MAX_TABLE = 16 << 20

#: include/net/tcp_states.h
TCP_STATES = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "06": "TIME_WAIT",
    "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING", "0C": "NEW_SYN_RECV",
}  # fmt: skip
#: What the kernel calls the protocol (xattr system.sockprotoname) -> the table that lists it.
TABLES = {
    "TCP": "tcp", "TCPv6": "tcp6", "MPTCP": "tcp", "MPTCPv6": "tcp6", "UDP": "udp", "UDPv6": "udp6",
    "UNIX": "unix", "UNIX-STREAM": "unix", "UNIX-DGRAM": "unix",
}  # fmt: skip
#: Looked through in this order when the protocol is not known: cheap ones first.
ALL_TABLES = ("unix", "udp", "udp6", "tcp", "tcp6")


class SocketTables:
    """Looks sockets up by inode. `clock` in seconds, for tests."""

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid = pid
        self._clock = clock
        self._data: dict[str, bytes] = {}
        self._read_at: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self.problem = ""  #: why the last reading failed

    def find(self, inode: int, protocol: str = "", newer_than: float = -1.0) -> tuple[Peer | None, float]:
        """(the peer, when its table was read). None: not in the tables, or they may not be read again yet.

        `newer_than`: a table read before that moment is not good enough.
        """
        table = TABLES.get(protocol)
        for name in (table,) if table else ALL_TABLES:
            if self._read_at.get(name, -1.0) > newer_than and (peer := self._look_up(name, inode)):
                return peer, self._read_at[name]
            if self._refresh(name) and (peer := self._look_up(name, inode)):
                return peer, self._read_at[name]
        return None, self._clock()

    def _refresh(self, name: str) -> bool:
        started = self._clock()
        if started < self._not_before.get(name, 0.0):
            return False
        try:
            with open(f"/proc/{self._pid}/net/{name}", "rb") as file:
                self._data[name] = file.read(MAX_TABLE)
        except OSError as error:
            self.problem = f"/proc/{self._pid}/net/{name}: {error.strerror}"
            self._data[name] = b""
        done = self._clock()
        self._read_at[name] = done
        self._not_before[name] = done + max(MIN_INTERVAL, (done - started) / SHARE)
        return True

    def _look_up(self, name: str, inode: int) -> Peer | None:
        """Searched as bytes: parsing thousands of rows to find one would cost more than all lookups together."""
        data = self._data.get(name, b"")
        needle = b" %d" % inode
        column = 6 if name == "unix" else 9
        at = data.find(needle)
        while at >= 0:
            start = data.rfind(b"\n", 0, at) + 1
            end = data.find(b"\n", at)
            row = data[start : end if end >= 0 else len(data)].decode("utf-8", "replace").split(None, 11)
            if len(row) > column and row[column] == str(inode):
                # A line break in the path of a Unix socket makes rows of the target's own wording.
                with contextlib.suppress(ValueError):
                    return _accepted(_peer(name, row), row, data)
            at = data.find(needle, at + 1)
        return None


def _peer(table: str, row: list[str]) -> Peer:
    if table == "unix":
        path = clean(" ".join(row[7:]))
        listening = int(row[3], 16) & 0x10000  # __SO_ACCEPTCON of include/linux/net.h
        status = "LISTEN" if listening else "ESTABLISHED" if row[5] == "03" else ""
        return Peer("unix", path or f"unix:[{row[6]}]", path, status)
    kind = table[:3]
    local, (host, port) = address(row[1]), split(row[2])
    status = TCP_STATES.get(row[3], row[3]) if kind == "tcp" else ""
    if status == "LISTEN" or not port:
        # A listening socket, or a UDP socket that talks to anybody: its own address is what tells it apart.
        return Peer(kind, local, local, status or "unconnected")
    name = join(host, port)
    return Peer(kind, f"{name} (dns)" if port == 53 else name, local, status, known_as(host, port, kind))


def _accepted(peer: Peer, row: list[str], table: bytes) -> Peer:
    """The peer, marked when the connection came in. Of a Unix socket only the server's side has the path as its name;
    a TCP connection has the port of the socket that was listened on, which is in the same table."""
    if peer.status != "ESTABLISHED":
        return peer
    if peer.kind == "unix":
        return structs.replace(peer, accepted=True) if peer.local else peer
    port = row[1].rpartition(":")[2]
    nobody = "0" * len(row[2].partition(":")[0])
    listener = f":{port} {nobody}:0000 0A ".encode()
    return structs.replace(peer, accepted=True) if listener in table else peer


def split(field: str) -> tuple[str, int]:
    """'0100007F:1F90' -> ('127.0.0.1', 8080). The kernel prints each 32-bit word in the machine's own order."""
    host, _, port = field.partition(":")
    words = [struct.pack("=I", int(host[i : i + 8], 16)) for i in range(0, len(host), 8)]
    raw = b"".join(words)
    if len(raw) == 16 and raw[:12] == bytes(10) + b"\xff\xff":
        raw = raw[12:]  # an IPv4 connection on an IPv6 socket reads like what it is
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port, 16)


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address(field: str) -> str:
    return join(*split(field))


@cache
def _hosts() -> dict[str, str]:
    """Address -> first name in /etc/hosts. The loopback names say nothing and are left out."""
    names: dict[str, str] = {}
    try:
        with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.split("#", 1)[0].split()
                if len(fields) > 1 and not fields[0].startswith(("127.", "::1")):
                    names.setdefault(fields[0], clean(fields[1], 60))
    except OSError:
        pass  # a host without the file has no names; addresses are shown
    return names


@cache
def _services() -> dict[tuple[int, str], str]:
    names: dict[tuple[int, str], str] = {}
    try:
        with open("/etc/services", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.split("#", 1)[0].split()
                port, _, protocol = fields[1].partition("/") if len(fields) > 1 else ("", "", "")
                if port.isdigit():
                    names.setdefault((int(port), protocol), clean(fields[0], 40))
    except OSError:
        pass
    return names


def known_as(host: str, port: int, kind: str) -> str:
    """What the host's own tables call a peer: 'db postgresql', 'postgresql', ''."""
    return " ".join(filter(None, (_hosts().get(host, ""), _services().get((port, kind), ""))))
