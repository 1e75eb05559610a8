"""What descriptors lead to: our own, in this very process."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from concview.linux import other_ends, sockets
from concview.linux import peers as module
from concview.linux.peers import Peers
from concview.linux.sockets import SocketTables, split


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def peers(clock: Clock) -> Iterator[Peers]:
    found = Peers(os.getpid(), clock)
    yield found
    found.close()


def name(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def test_tcp(peers: Peers) -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        client.connect(server.getsockname())
        peer = peers.of(client.fileno())
        assert peer is not None
        assert (peer.kind, peer.name, peer.local, peer.status) == (
            "tcp",
            name(client.getpeername()),
            name(client.getsockname()),
            "ESTABLISHED",
        )
        assert not peers.provisional
        listening = peers.of(server.fileno())
        assert listening is not None
        assert (listening.name, listening.status) == (name(server.getsockname()), "LISTEN")


def test_udp_and_dns(peers: Peers) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as asks, socket.socket(type=socket.SOCK_DGRAM) as waits:
        asks.connect(("127.0.0.1", 53))
        waits.bind(("127.0.0.1", 0))
        peer, other = peers.of(asks.fileno()), peers.of(waits.fileno())
        assert peer is not None and (peer.kind, peer.name) == ("udp", "127.0.0.1:53 (dns)")
        assert other is not None and (other.name, other.status) == (name(waits.getsockname()), "unconnected")


def test_unix_sockets_and_hostile_paths(peers: Peers, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31m[red]"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        peer = peers.of(server.fileno())
        assert peer is not None
        assert (peer.kind, peer.status) == ("unix", "LISTEN")
        assert peer.name.endswith("\\x1b[31m[red]")
    forged = tmp_path / "x\n0: 2 0 zz 1 03 4242 forged"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(forged))
        assert SocketTables(os.getpid()).find(4242, "UNIX")[0] is None
    clock.now += 1  # the table may be read again
    a, b = socket.socketpair()
    with a, b:
        pair = peers.of(a.fileno())
        assert pair is not None and pair.kind == "unix"


def test_things_that_are_not_sockets(peers: Peers, tmp_path: Path) -> None:
    libc = ctypes.CDLL(None)
    opened: list[int] = []
    try:
        r, w = os.pipe()
        master, slave = os.openpty()
        file = os.open(tmp_path / "plain", os.O_CREAT | os.O_RDWR)
        gone = os.open(tmp_path / "gone\x1b", os.O_CREAT | os.O_RDWR)
        (tmp_path / "gone\x1b").unlink()
        null = os.open(os.devnull, os.O_RDONLY)
        memory = os.memfd_create("m")
        event, watch = libc.eventfd(0, 0), libc.inotify_init()
        timer = libc.timerfd_create(1, 0)
        opened = [r, w, master, slave, file, gone, null, memory, event, watch, timer]
        expected = {
            r: ("pipe", os.readlink(f"/proc/self/fd/{r}")),  # noqa: PTH115 - the text of the link, as it is
            slave: ("tty", os.ttyname(slave)),
            file: ("file", str(tmp_path / "plain")),
            gone: ("file", str(tmp_path / "gone\\x1b") + " (deleted)"),
            null: ("device", "/dev/null"),
            memory: ("memory", "/memfd:m (deleted)"),
            event: ("eventfd", "eventfd"),
            watch: ("inotify", "inotify"),
            timer: ("timerfd", "timerfd"),
        }
        found = {fd: (peer.kind, peer.name) for fd in expected if (peer := peers.of(fd))}
        assert found == expected
    finally:
        for fd in opened:
            os.close(fd)
    assert peers.of(opened[0]) is None, "closed"
    assert peers.of(-1) is None


def test_children(peers: Peers) -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        try:
            pidfd = os.pidfd_open(child.pid)
            peer = peers.of(pidfd)
            os.close(pidfd)
            assert peer is not None
            assert (peer.kind, peer.name) == ("process", f"sleep (pid {child.pid})")
            assert peers.process(child.pid) == peer
        finally:
            child.kill()
    assert peers.process(-1).name == "any child"
    assert peers.process(1).name == "pid 1", "not a child of the process: the number may be of another namespace"


def test_epoll_names_few_and_counts_many(peers: Peers) -> None:
    with select.epoll() as epoll:
        empty = peers.of(epoll.fileno())
        assert empty is not None and empty.name == "epoll of nothing"
        pipes = [os.pipe() for _ in range(5)]
        epoll.register(pipes[0][0])
        one = peers.of(epoll.fileno())
        assert one is not None and one.name.startswith("epoll of pipe:[")
        for r, _ in pipes[1:]:
            epoll.register(r)
        many = peers.of(epoll.fileno())
        assert many is not None and many.name == "epoll of 5 descriptors"
        with select.epoll() as outer:
            outer.register(epoll.fileno())
            nested = peers.of(outer.fileno())
            assert nested is not None and nested.name == "epoll of epoll", "an epoll of an epoll does not recurse"
        for r, w in pipes:
            os.close(r)
            os.close(w)


def test_a_number_that_is_used_again_shows_what_it_leads_to_now(peers: Peers) -> None:
    one, two = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    with one, two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.2", 0))
        before = peers.of(one.fileno())
        os.dup2(two.fileno(), one.fileno())
        after = peers.of(one.fileno())
        assert before is not None and before.name.startswith("127.0.0.1:")
        assert after is not None and after.name == name(two.getsockname())


def test_tables_are_rationed_and_the_answer_says_so(peers: Peers, clock: Clock) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as first:
        first.bind(("127.0.0.1", 0))
        assert peers.of(first.fileno()) is not None
        with socket.socket(type=socket.SOCK_DGRAM) as second:
            second.bind(("127.0.0.1", 0))
            early = peers.of(second.fileno())
            assert early is not None and early.kind == "socket" and peers.provisional
            clock.now += sockets.MIN_INTERVAL + 0.01
            late = peers.of(second.fileno())
            assert late is not None and late.name == name(second.getsockname()) and not peers.provisional


def test_what_is_remembered_is_bounded(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    try:
        for _ in range(30):
            s = socket.socket(type=socket.SOCK_DGRAM)
            s.bind(("127.0.0.1", 0))
            opened.append(s)
        monkeypatch.setattr(module, "MAX_SOCKETS", 8)
        for s in opened:
            peers.of(s.fileno())
        assert len(peers._sockets) == 8
    finally:
        for s in opened:
            s.close()


def test_addresses_as_the_kernel_writes_them() -> None:
    def words(raw: bytes) -> str:
        return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", raw))

    four = socket.inet_aton("10.1.2.3")
    six = socket.inet_pton(socket.AF_INET6, "fe80::1:2")
    assert split(words(four) + ":1F90") == ("10.1.2.3", 8080)
    assert split(words(six) + ":0035") == ("fe80::1:2", 53)
    assert split(words(bytes(10) + b"\xff\xff" + four) + ":0001") == ("10.1.2.3", 1)


def test_an_inode_is_not_found_in_another_column(clock: Clock) -> None:
    tables = SocketTables(os.getpid(), clock)
    tables._data["udp"] = (
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        b"  1: 0100007F:1111 00000000:0000 07 00000000:00000000 00:00000000 00000000  4242        0 77 2 0 0\n"
        b"  2: 0100007F:2222 00000000:0000 07 00000000:00000000 00:00000000 00000000     0     4242 42421 2 0 0\n"
        b"  3: 0100007F:3333 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4242 2 0 0\n"
    )
    tables._read_at["udp"] = clock.now
    peer, _ = tables.find(4242, "UDP")
    assert peer is not None and peer.name == "127.0.0.1:13107"


def test_names_come_from_the_hosts_tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_hosts", lambda: {"10.0.0.5": "db"})
    monkeypatch.setattr(sockets, "_services", lambda: {(5432, "tcp"): "postgresql"})
    assert sockets.known_as("10.0.0.5", 5432, "tcp") == "db postgresql"
    assert sockets.known_as("10.0.0.6", 5432, "tcp") == "postgresql"
    assert sockets.known_as("10.0.0.6", 1, "tcp") == ""


def test_a_process_that_is_gone_has_no_descriptors() -> None:
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=out)
        found = Peers(child.pid)
        child.wait()
        assert found.of(0) is None
        found.close()


def test_the_other_side_of_a_terminal_is_found() -> None:
    master, slave = os.openpty()
    try:
        number = int(os.ttyname(slave).rpartition("/")[2])
        assert other_ends.terminal(os.getpid(), slave) == number
        assert other_ends.terminal(os.getpid(), master) == -1
        assert number in other_ends.terminals_of(os.getpid())
    finally:
        os.close(slave)
        os.close(master)
    assert number not in other_ends.terminals_of(os.getpid())
