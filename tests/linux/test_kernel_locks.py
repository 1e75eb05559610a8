"""The kernel's table of file locks, return addresses on stacks, and the other ends of sockets: what is read of them."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concview.linux import kernel_locks, socket_diag
from concview.linux.modules import Modules, is_python, is_return
from concview.linux.other_ends import OtherEnds
from concview.model import Peer

TABLE = """\
1: FLOCK  ADVISORY  WRITE 100 fe:01:7 0 EOF
1: -> FLOCK  ADVISORY  WRITE 101 fe:01:7 0 EOF
1: -> FLOCK  ADVISORY  WRITE 102 fe:01:7 0 EOF
2: POSIX  ADVISORY  READ 103 00:2f:8 1073741824 1073742335
3: OFDLCK ADVISORY  WRITE -1 00:2f:9 0 EOF
4: LEASE  ACTIVE    READ 103 00:2f:8 0 EOF
"""


def test_who_has_a_lock_and_who_waits() -> None:
    flock, posix, ofd = kernel_locks.held(TABLE)
    assert (flock.kind, flock.mode, flock.holder, flock.inode, flock.end) == ("flock", "WRITE", 100, 7, -1)
    assert flock.waiters == [101, 102]
    assert (posix.kind, posix.start, posix.end) == ("posix", 1 << 30, (1 << 30) + 511)
    assert (ofd.kind, ofd.holder) == ("ofd", -1)


@given(st.text(max_size=300))
def test_any_table_is_read_without_an_error(text: str) -> None:
    kernel_locks.held(text)
    kernel_locks.held(f"1: FLOCK {text}\n1: -> {text}")


def test_the_module_that_waits_is_the_first_that_is_not_the_c_library() -> None:
    modules = Modules(os.getpid())
    rows = [(start, path) for start, path in _executable() if path.startswith("/")]
    libc = next(start for start, path in rows if "/libc.so" in path or "/libc-" in path)
    program = next(start for start, path in rows if is_python(path))
    stack = struct.pack("<4Q", 7, libc + 16, program + 16, libc)

    def called(address: int, size: int) -> bytes:
        return b"\x90\x90\xe8\0\0\0\0"

    assert is_python(modules.caller(stack, called))
    assert modules.caller(stack, lambda address, size: b"\x90" * 7) == ""
    assert modules.caller(struct.pack("<2Q", libc, 5), called) == ""
    assert modules.caller(b"", called) == modules.caller(b"\xff" * 4095, called) == ""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("e8 11 22 33 44", True),
        ("ff d0", True),
        ("41 ff d7", True),
        ("ff 15 00 00 00 00", True),
        ("ff 50 18", True),
        ("0f 1f 40 00 c3", False),
        ("66 90", False),
        ("", False),
    ],
)
def test_a_return_address_stands_behind_a_call(code: str, expected: bool) -> None:
    raw = bytes.fromhex(code)
    assert is_return(raw.rjust(7, b"\x90") if raw else raw, "x86_64") is expected
    assert is_return(b"\0\0\0" + (0x94000010).to_bytes(4, "little"), "aarch64")
    assert not is_return(b"\0\0\0" + (0xD503201F).to_bytes(4, "little"), "aarch64")


def _executable() -> list[tuple[int, str]]:
    with open("/proc/self/maps") as file:
        rows = [line.split(None, 5) for line in file]
    return [(int(r[0].partition("-")[0], 16), r[5].strip()) for r in rows if "x" in r[1] and len(r) > 5]


def test_the_kernel_tells_the_other_end_and_the_bytes_between() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.send(b"12345")
        inodes = [os.fstat(s.fileno()).st_ino for s in (near, far)]
        table = socket_diag.Network("self").unix_sockets()
        assert (table[inodes[0]].peer, table[inodes[1]].peer) == (inodes[1], inodes[0])
        assert table[inodes[1]].received == 5
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listener = socket.create_server((host, 0), family=family)
        except OSError:
            continue  # no IPv6 here
        with listener, socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0] as server:
            client.send(b"123")
            names = [
                f"[{n[0]}]:{n[1]}" if ":" in n[0] else f"{n[0]}:{n[1]}"
                for n in (server.getsockname(), server.getpeername())
            ]
            here, there = socket_diag.end(names[0]), socket_diag.end(names[1])
            assert here and there
            network = socket_diag.Network("self")
            found = network.tcp_socket(here, there)
            assert found is not None and found.inode == os.fstat(server.fileno()).st_ino
            assert (found.state, found.received) == ("ESTABLISHED", 3)
            assert network.tcp_socket(here, (there[0], there[1] ^ 1)) is None
            inode = os.fstat(listener.fileno()).st_ino
            assert network.tcp_listener(here) == (inode, 0) and network.tcp_listener(there) is None
            with socket.create_connection(listener.getsockname()[:2]) as late:
                assert network.tcp_listener(here) == (inode, 1)
                own, name = socket_diag.end(_name(late.getsockname())), _name(late.getsockname())
                assert own and (other := network.tcp_socket(here, own)) and other.inode == 0
                peer = Peer("tcp", _name(late.getpeername()), name, "ESTABLISHED")
                end = OtherEnds(os.getpid()).of({late.fileno(): peer})[late.fileno()]
                assert (end.pending, end.peer_inode, end.own) == (1, inode, [listener.fileno()])


def _name(address: tuple[Any, ...]) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def test_a_unix_connection_that_nobody_has_accepted_leads_to_the_socket_that_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client.connect(str(tmp_path / "s"))
        mine, inode = os.fstat(client.fileno()).st_ino, os.fstat(listener.fileno()).st_ino
        network = socket_diag.Network("self")
        assert (network.unix_sockets()[mine].peer, network.unix_sockets()[mine].pending) == (inode, 1)
        with listener.accept()[0] as server:
            found = network.unix_sockets()[mine]
            assert (found.peer, found.pending) == (os.fstat(server.fileno()).st_ino, 0)


def test_a_fork_s_copy_of_the_other_end_is_not_all_there_is() -> None:
    """A child has inherited the end that its parent uses."""
    near, far = socket.socketpair()
    with near, far:
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
        try:
            end = OtherEnds(os.getpid()).of({near.fileno(): None})[near.fileno()]
            assert end.own == [far.fileno()] and end.others == {child: [far.fileno()]}
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_second_small_write_is_held_back() -> None:
    network = socket_diag.Network("self")
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
        here, there = (socket_diag.end(f"{n[0]}:{n[1]}") for n in (client.getsockname(), client.getpeername()))
        assert here and there

        def held() -> bool:
            """The first ones are acknowledged at once, later ones late."""
            for part in (b"head", b"body"):
                client.send(part)
            found = network.tcp_socket(here, there)
            server.recv(4)
            return found is not None and found.unsent == 4 and found.sent == 8

        assert any(held() for _ in range(200))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert not any(held() for _ in range(200))


def test_for_how_long_nothing_has_moved_on_a_connection() -> None:
    network = socket_diag.Network("self")
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
        here, there = (socket_diag.end(f"{n[0]}:{n[1]}") for n in (client.getsockname(), client.getpeername()))
        assert here and there

        def ago(which: str) -> float:
            found = network.tcp_socket(here, there)
            assert found is not None
            return float(getattr(found, which)) / 1e3

        for who, which in ((client, "sent_ms"), (server, "came_ms")):
            before = time.monotonic()
            who.send(b"x")
            after = time.monotonic()
            while time.monotonic() < after + 0.3:
                low = time.monotonic() - after
                assert low - 0.02 <= ago(which) <= time.monotonic() - before + 0.02
                time.sleep(0.05)
        assert ago("sent_ms") > ago("came_ms")


@given(st.text(max_size=60))
def test_what_is_no_address_has_no_end(text: str) -> None:
    found = socket_diag.end(text)
    assert found is None or len(found[0]) in (4, 16)


TAKES_AND_ENDS = """
import fcntl, os, struct, sys
file = open(sys.argv[1], "w")
if sys.argv[2] == "flock":
    fcntl.flock(file, fcntl.LOCK_EX)
else:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))
heir = os.fork()
if heir:
    print(os.getpid(), heir, flush=True)
    os._exit(0)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["flock", "ofd"])
def test_a_lock_outlives_the_process_that_took_it(kind: str, tmp_path: Path) -> None:
    """The table names one that has ended, or nobody; the child with the descriptor has the lock."""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_AND_ENDS, str(path), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        took, heir = map(int, process.stdout.readline().split())
        process.wait(30)
        inode = path.stat().st_ino
        (lock,) = (one for one in kernel_locks.read() if one.inode == inode)
        assert lock.holder == (took if kind == "flock" else -1)
        assert kernel_locks.descriptor(took, inode) < 0 and kernel_locks.heirs(inode) == [heir]
        fd = kernel_locks.descriptor(heir, inode)
        # The one that is known is looked at first, and what it was is not believed.
        assert kernel_locks.descriptor(heir, inode, fd) == kernel_locks.descriptor(heir, inode, 0) == fd >= 0
        process.stdin.close()
