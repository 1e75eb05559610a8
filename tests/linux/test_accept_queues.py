"""Sockets that listen and who waits there, read from the kernel of this very process."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from concview.linux import socket_diag
from concview.linux.accept_queues import AcceptQueues, Queue, holders, overflows


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["tcp", "tcp6", "unix", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    kind = request.param
    family = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6}.get(kind, socket.AF_UNIX)
    where: object = ("127.0.0.1", 0) if kind == "tcp" else ("::1", 0)
    if kind in ("unix", "abstract"):
        where = str(tmp_path / "s") if kind == "unix" else f"\0concview-{os.getpid()}"
    with socket.socket(family) as one:
        try:
            one.bind(where)  # type: ignore[arg-type]
        except OSError as error:
            pytest.skip(f"no {kind} here: {error}")
        one.listen(2)
        yield one


def connect(to: socket.socket) -> socket.socket:
    one = socket.socket(to.family)
    one.settimeout(10)
    one.connect(to.getsockname())
    return one


def found(queues: AcceptQueues, one: socket.socket) -> Queue:
    (queue,) = [q for q in queues.look() if one.fileno() in q.fds]
    return queue


def test_who_waits_and_for_how_long(listening: socket.socket, clock: Clock) -> None:
    queues = AcceptQueues(os.getpid(), clock)
    clock.now += 10
    empty = found(queues, listening)
    assert (empty.waiting, empty.most, empty.since, empty.full) == (0, 2, 0.0, False)
    with connect(listening), connect(listening):
        clock.now += 5
        assert (found(queues, listening).waiting, found(queues, listening).since) == (2, 115.0)
        clock.now += 5
        listening.accept()[0].close()  # the older one
        with connect(listening):
            second = found(queues, listening)
            # One of the first two is still there, and so is one that has just come.
            assert (second.waiting, second.since, second.before) == (2, 115.0, False)
            listening.accept()[0].close()
            clock.now += 5
            third = found(queues, listening)
            assert (third.waiting, third.since) == (1, 120.0)
            listening.accept()[0].close()
            assert found(queues, listening).since == 0.0


def test_who_was_there_before_anybody_looked(listening: socket.socket, clock: Clock) -> None:
    with connect(listening):
        queues = AcceptQueues(os.getpid(), clock)
        clock.now += 0.3  # the first look comes a little after the beginning
        assert (found(queues, listening).since, found(queues, listening).before) == (100.0, True)


def test_a_full_queue_turns_away(clock: Clock) -> None:
    with socket.socket() as one, contextlib.ExitStack() as clients:
        one.bind(("127.0.0.1", 0))
        one.listen(1)
        queues = AcceptQueues(os.getpid(), clock)
        for _ in range(2):
            clients.enter_context(connect(one))
        full = found(queues, one)
        assert (full.waiting, full.most, full.full) == (2, 1, True)
        late = clients.enter_context(socket.socket())
        late.setblocking(False)
        assert late.connect_ex(one.getsockname()) != 0
        turned = found(queues, one)
        assert turned.refused > full.refused >= 0 and turned.waiting == 2


def test_packets_that_a_listening_socket_drops_are_nobody_turned_away(clock: Clock) -> None:
    """Of a socket with TCP_DEFER_ACCEPT the kernel drops a packet of each connection, and accepts it."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 4)
        queues = AcceptQueues(os.getpid(), clock)
        overflowed, before = overflows(os.getpid()), found(queues, one).refused
        for _ in range(20):
            with connect(one) as client:
                client.sendall(b"x")
                one.accept()[0].close()
        listening = next(q for q in queues._network.listening() if q.inode == os.fstat(one.fileno()).st_ino)
        if listening.drops < 20:
            pytest.skip("this kernel does not count them")
        # Other programs here may overflow meanwhile.
        assert found(queues, one).refused - before <= overflows(os.getpid()) - overflowed
        assert before == 0


def test_names(listening: socket.socket, clock: Clock) -> None:
    name = found(AcceptQueues(os.getpid(), clock), listening).name
    told = listening.getsockname()
    if isinstance(told, bytes):
        assert name == "@" + told[1:].decode()
    elif isinstance(told, str):
        assert name == told
    else:
        assert socket_diag.end(name) == (socket.inet_pton(listening.family, told[0]), told[1])


def test_an_epoll_and_another_process_that_have_it(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, select.epoll() as epoll:
        epoll.register(one, select.EPOLLIN)
        inode = os.fstat(one.fileno()).st_ino
        program = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        with subprocess.Popen(program, stdin=subprocess.PIPE, pass_fds=[one.fileno()]) as child:
            assert holders({inode}, os.getpid()) == {inode: (child.pid,)}
            with connect(one):
                queue = found(AcceptQueues(os.getpid(), clock), one)
                assert queue.epolls == (epoll.fileno(),) and queue.shared == (child.pid,)


def test_where_the_namespace_may_not_be_entered_the_tables_tell(clock: Clock) -> None:
    queues = AcceptQueues(os.getpid(), clock)
    queues._network.why = "it may not be entered"
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert found(queues, one).waiting == 0
        with connect(one):
            clock.now += 3
            queue = found(queues, one)
            host, port = one.getsockname()
            assert (queue.waiting, queue.since, queue.most, queue.name) == (1, 103.0, -1, f"{host}:{port}")
            clock.now += 3
            assert found(queues, one).since == 103.0
    assert queues.why == ""


def test_too_many_connections_to_tell_apart(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_diag, "MAX_CONNECTIONS", 1)
    with socket.create_server(("127.0.0.1", 0)) as one, connect(one), connect(one):
        queue = found(AcceptQueues(os.getpid(), clock), one)
        assert (queue.waiting, queue.since) == (2, 0.0)
