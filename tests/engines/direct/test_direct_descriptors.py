"""Sockets, pipes, file locks, children, imports and C libraries that threads wait for: who is at the other end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import pytest
from direct_helpers import KeepingSink, tick_until_passes, watching

from capacity import WAITS
from concview.model import Children, Event, FileLocks, Link, Links, NativeWaits, Relations
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

TARGET = Path(__file__).with_name("descriptors_target.py")
_E = TypeVar("_E", bound=Event)


def _last(sink: KeepingSink, kind: type[_E]) -> _E:
    return next(e for e in reversed(sink.events) if isinstance(e, kind))


def test_who_is_at_the_other_end(direct_python: Interpreter) -> None:
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tids, (near, far, read_end, write_end), child, folder = json.loads(process.line())

        def told() -> None:
            by_waiter = {tid: link for link in _last(sink, Links).links for tid in link.waiters}
            assert not _last(sink, Links).why

            def users(link: Link) -> set[tuple[int, str, str]]:
                return {(user.tid, user.how, user.path) for user in link.users}

            pair = by_waiter[tids["asks"]]
            assert (pair.fd, pair.kind, pair.peer_fds, pair.reads, pair.complete) == (near, "unix", (far,), True, True)
            assert (tids["serves"], "local", "self.sock") in users(pair)
            client, server = by_waiter[tids["tcp_client"]], by_waiter[tids["tcp_server"]]
            assert (client.kind, client.role, server.role) == ("tcp", "client", "server")
            assert (client.peer_fds, server.peer_fds) == ((server.fd,), (client.fd,))
            assert {(tids["tcp_server"], "call", ""), (tids["tcp_server"], "local", "connection")} <= users(client)
            assert (client.received, client.sent, client.peer_received, client.peer_sent) == (0, 0, 0, 0)
            pipe = by_waiter[tids["lonely"]]
            assert (pipe.fd, pipe.kind, pipe.peer_fds, pipe.closed) == (read_end, "pipe", (write_end,), "own")
            other = by_waiter[tids["reads_child"]]
            assert [owner.pid for owner in other.owners] == [child] and not other.peer_fds

            (lock,) = _last(sink, FileLocks).locks
            assert (lock.path, lock.kind, lock.mode, lock.holder) == (f"{folder}/lock", "flock", "WRITE", process.pid)
            assert lock.waiters == (tids["wants_lock"],)
            assert [(user.tid, user.path) for user in lock.users] == [(tids["locks_number"], "number")]

            children = {tid: one for one in _last(sink, Children).children for tid in one.waiters}
            assert children.keys() == {tids["waits_for_child"], tids["reads_child"]}
            ended, spoken_to = children[tids["waits_for_child"]], children[tids["reads_child"]]
            assert (ended.syscall, ended.back) == ("write", True)
            assert (spoken_to.pid, spoken_to.syscall) == (child, "read")

            (native,) = _last(sink, NativeWaits).waits
            assert native.tid == tids["native"] and native.library and "python" not in native.library

            modules = [o for o in _last(sink, Relations).objects if o.kind == "ModuleLock"]
            assert [(m.name, m.owner, m.waiters) for m in modules] == [
                ("slow_module", tids["imports"], (tids["imports_too"],))
            ]
            wait = sink.wait_of(tids["imports_too"])
            assert wait is not None and (wait.via, wait.target) == ("import", tids["imports"])

        tick_until_passes(engine, told, looks=True, pause=0.05)


JOINS = """
import multiprocessing, time
def nap():
    time.sleep(1000)
if __name__ == "__main__":
    process = multiprocessing.get_context("forkserver").Process(target=nap)
    process.start()
    print("ready", flush=True)
    print(process.pid, flush=True)
    process.join()
"""


@pytest.mark.few
def test_a_child_of_a_fork_server_is_waited_for_at_a_pipe(direct_python: Interpreter) -> None:
    """The pipe's other end is the fork server's; whose end is waited for is told by the object."""
    with target(direct_python, JOINS) as process, watching(process.pid) as (engine, sink):
        child = int(process.line())

        def told() -> None:
            assert [(c.pid, c.waiters) for c in _last(sink, Children).children] == [(child, (process.pid,))]

        tick_until_passes(engine, told, looks=True, pause=0.05)
