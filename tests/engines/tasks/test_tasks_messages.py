"""Tasks at sockets for messages, whose methods give futures: a stand-in that keeps them as pyzmq's does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import blame_passes, watched

from capacity import WAITS
from concview.model import MESSAGES
from concview.snapshot import Blame
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: A task's name says for what it waits at its socket; '' where it waits for something else.
PROGRAM = r"""
import asyncio, collections
Event = collections.namedtuple("Event", "future kind args")
class Socket:
    def __init__(self):
        self._recv_futures, self._send_futures = collections.deque(), collections.deque()
    def _wait(self, where, kind):
        future = asyncio.get_running_loop().create_future()
        where.append(Event(future, kind, ()))
        return future
    def recv(self):
        return self._wait(self._recv_futures, "recv")
    def send(self, message):
        if message == b"ask":
            return asyncio.sleep(0)
        return self._wait(self._send_futures, "send")
    def recv_json(self):
        future, recvd = asyncio.get_running_loop().create_future(), self.recv()
        def _chain_cancel(_):
            recvd.cancel()
        future.add_done_callback(_chain_cancel)
        return future
    def poll(self):
        poller = Poller()
        poller.sockets = [(self, 1)]
        future, poll_future = asyncio.get_running_loop().create_future(), poller.poll()
        def cancel_poll(_):
            poll_future.cancel()
        future.add_done_callback(cancel_poll)
        return future
    def other(self):
        return asyncio.get_running_loop().create_future()
class Poller:
    def poll(self):
        future, watcher = asyncio.get_running_loop().create_future(), self.sockets[0][0].recv()
        timer = asyncio.get_running_loop().call_later(100_000, print)
        def cancel_timeout(_):
            timer.cancel()
        def cancel_watcher(_):
            watcher.cancel()
        future.add_done_callback(cancel_timeout)
        future.add_done_callback(cancel_watcher)
        return future
class Worker:
    def __init__(self):
        self.socket = Socket()
    async def run(self):
        while True:
            await self.socket.recv()
async def take(s):
    await s.recv_json()
async def take_in_time(s):
    await asyncio.wait_for(s.recv(), 100_000)
async def look(s):
    await s.poll()
async def look_at_several(s):
    poller = Poller()
    poller.sockets = [(s, 1)]
    await poller.poll()
async def give(s):
    await s.send(b"")
async def other(s):
    await s.other()
async def ask(s):
    while True:
        await s.send(b"ask")
        await s.recv()
async def main():
    keep = []
    for name, coroutine in (
        ("recv", Worker().run()), ("recv", take(Socket())), ("recv", take_in_time(Socket())),
        ("send", give(Socket())), ("", other(Socket())), ("recv", ask(Socket())),
        ("recv", look(Socket())), ("recv", look_at_several(Socket())),
    ):
        keep.append(asyncio.get_running_loop().create_task(coroutine))
        keep[-1].set_name("at " + name)
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(100_000)
asyncio.run(main())
"""


@pytest.mark.few
def test_who_waits_at_a_socket_for_messages(direct_python: Interpreter) -> None:
    with target(direct_python, PROGRAM) as process, watched(process.pid) as watch:

        def right() -> None:
            rows = [r for r in watch.told.tasks.values() if r.name.startswith("at ")]
            assert len(rows) == 8
            told = sorted((r.name, r.wait.via if r.wait.kind == MESSAGES else "") for r in rows)
            assert told == sorted((r.name, r.name.removeprefix("at ")) for r in rows)

        watch.until_passes(right)


@pytest.mark.some(12)
def test_who_has_asked_waits_for_an_answer_and_who_has_not_for_work(direct_python: Interpreter) -> None:
    with target(direct_python, PROGRAM) as process:

        def said(blame: Blame) -> None:
            ends = [c.what for c in blame.causes]
            assert any("an answer over a socket of ZeroMQ" in end for end in ends), ends
            assert sum("no peer is connected" in end for end in ends) == 1, ends
            assert any("waits for a message over a socket of ZeroMQ" in q.what for q in blame.quiets), blame.quiets

        blame_passes(process.pid, said)
