"""Tasks that wait for what a protocol of theirs receives: by a future, a queue, or until the rest is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import watched

from capacity import WAITS
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: A task's name says how it is told: STATE|VIA|kind of its peer.
PROGRAM = r"""
import asyncio, socket, threading
class Calls(asyncio.DatagramProtocol):
    def __init__(self):
        self.waiting, self.items = {}, asyncio.Queue()
    def connection_made(self, given):
        self.anything = given
    def datagram_received(self, data, address):
        self.waiting.pop(data).set_result(None)
        self.items.put_nowait(data)
    async def call(self, key):
        self.waiting[key] = asyncio.get_running_loop().create_future()
        self.anything.sendto(key)
        return await self.waiting[key]
class Reader:
    def __init__(self, protocol):
        self.protocol = protocol
    async def read(self):
        return await self.protocol.items.get()
class Worker:
    def __init__(self):
        self.items = asyncio.Queue()
    async def work(self):
        return await self.items.get()
class Compiled:
    # A loop whose coroutines have no frames, such as uvloop's.
    def create_connection(self, host, port):
        return asyncio.get_running_loop().create_future()
async def connect(host, port):
    await Compiled().create_connection(host, port)
async def close(writer):
    writer.write(b"." * 30_000_000)
    writer.close()
    await writer.wait_closed()
async def main():
    loop, keep = asyncio.get_running_loop(), []
    silent, listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.create_server(("127.0.0.1", 0))
    silent.bind(("127.0.0.1", 0))
    _, calls = await loop.create_datagram_endpoint(Calls, remote_addr=silent.getsockname())
    _, writer = await asyncio.open_connection(*listener.getsockname())
    def start(coroutine, name):
        keep.append(loop.create_task(coroutine))
        keep[-1].set_name(name)
    start(calls.call(b"1"), "io|Calls.call|udp")
    start(calls.call(b"2"), "io|Calls.call|udp")
    start(Reader(calls).read(), "io|Queue.get|udp")
    start(Worker().work(), "queue|Queue.get|")
    start(connect("db", 5432), "io|connect|tcp")
    start(close(writer), "io|StreamWriter.wait_closed|tcp")
    print("ready", flush=True)
    await asyncio.sleep(100_000)
asyncio.run(main())
"""
NAMES = {
    "io|connect|tcp",
    "io|Calls.call|udp",
    "io|Queue.get|udp",
    "queue|Queue.get|",
    "io|StreamWriter.wait_closed|tcp",
}


@pytest.mark.few
def test_what_a_protocol_receives_comes_from_its_peer(direct_python: Interpreter) -> None:
    with target(direct_python, PROGRAM) as process, watched(process.pid) as watch:

        def told() -> set[tuple[str, str]]:
            rows = [row for row in watch.told.tasks.values() if row.name.count("|") == 2]
            peers = [row.wait.peer for row in rows]
            kinds = [peer.kind if peer is not None else "" for peer in peers]
            return {(r.name, f"{r.state}|{r.wait.via}|{kind}") for r, kind in zip(rows, kinds, strict=True)}

        def right() -> None:
            assert watch.told.complete and {name for name, _ in told()} == NAMES
            assert {(name, said) for name, said in told() if name != said} == set()

        watch.until_passes(right)


ENDING = r"""
import asyncio, threading
tids = []
def wait():
    tids.append(threading.get_native_id())
    threading.Event().wait()
async def main():
    asyncio.get_running_loop().run_in_executor(None, wait)
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    print(tids[0], flush=True)
asyncio.run(main())
"""


@pytest.mark.some(9, 12)
def test_at_its_end_a_loop_waits_for_the_thread_that_ends_its_executor(direct_python: Interpreter) -> None:
    if direct_python.version < (3, 9):
        pytest.skip("NOT TESTED: has no such wait")
    with target(direct_python, ENDING) as process, watched(process.pid) as watch:

        def tid() -> int:
            waits = [row.wait for row in watch.told.tasks.values() if row.wait.via == "shutdown_default_executor"]
            return waits[0].tid if waits else 0

        number = watch.until(tid, 20)
        # There are three: the main one, the executor's, and who ends the executor.
        worker = int(process.line())
        threads = {int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()}
        assert threads == {process.pid, worker, number}
