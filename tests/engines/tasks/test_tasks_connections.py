"""Connections that tasks wait at: when something was last sent, and who is at the other end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from collectors import nursery

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import blame_passes, watched

from capacity import WAITS
from concview.model import Links
from concview.session import LiveSource, Session
from concview.snapshot import Blame
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: One task asks once, another again and again; a third serves both, and answers the second one only.
PROGRAM = r"""
import asyncio
async def answer(reader, writer):
    while (line := await reader.readline()):
        if line == b"often\n":
            await asyncio.sleep(0.05)
            writer.write(b"yes\n")
async def once(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"once\n")
    await reader.readline()
async def often(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"often\n")
        await reader.readline()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for each in (once, often):
        tasks.append(asyncio.create_task(each(port)))
    print("ready", flush=True)
    await asyncio.sleep(1000)
tasks = []
asyncio.run(main())
"""


@pytest.mark.few
def test_what_was_sent_last(direct_python: Interpreter) -> None:
    with target(direct_python, PROGRAM) as process:
        session = Session(LiveSource(process.pid, launcher=nursery()))
        session.start()
        try:
            deadline = time.monotonic() + 60
            sent: dict[str, set[int]] = {}
            while time.monotonic() < deadline and not (
                len(sent.get("often", ())) > 2 and len(sent.get("once", ())) == 1
            ):
                time.sleep(0.1)
                session.snapshot()
                names = {t.id: t.function.function if t.function else "" for t in session.history.aio.tasks.values()}
                sent = {}
                for report in session.history.relations.reports(Links):
                    for one in report.tasks:
                        sent.setdefault(names.get(one.task, ""), set()).add(one.sent_ns)
            assert len(sent.get("often", ())) >= 3 and len(sent.get("once", ())) == 1, sent
            assert not any(name.startswith("answer") for name in sent), "a server's own are not told"
        finally:
            session.close()


#: A client's name says which task serves it. The servers wait for a lock, for a time, for their client, in a class that
#: has a second task for the same connection, and one hands the request on to another task and reads the next one.
SERVED = r"""
import asyncio, collections
keep = []
def start(coroutine, name):
    keep.append(asyncio.get_running_loop().create_task(coroutine))
    keep[-1].set_name(name)
class Session:
    def __init__(self, stream_writer):
        self.output = stream_writer
        start(self.ping(), "ping")
    async def ping(self):
        while True:
            await asyncio.sleep(0.05)
    async def serve(self):
        await asyncio.sleep(100_000)
async def work(output):
    await lock.acquire()
    output.write(b"done")
async def answer(r, w):
    how = (await r.readline()).decode().strip()
    task = [t for t in asyncio.all_tasks() if t is asyncio.current_task()][0]
    task.set_name("serves " + how)
    if how == "lock":
        await lock.acquire()
    elif how == "time":
        await asyncio.sleep(100_000)
    elif how == "read":
        await r.readline()
    elif how == "handed on":
        task.set_name("reads on")
        start(work(w), "serves handed on")
        await r.readline()
    elif how == "object":
        session = Session(w)
        del r, w
        await session.serve()
async def ask(port, how):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(how.encode() + b"\n")
    await reader.readline()
async def main():
    global lock
    lock = asyncio.Lock()
    await lock.acquire()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    for how in ("lock", "time", "read", "object", "handed on"):
        start(ask(server.sockets[0].getsockname()[1], how), "serves " + how + " asks")
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await asyncio.sleep(100_000)
asyncio.run(main())
"""


@pytest.mark.few
def test_who_is_at_the_other_end(direct_python: Interpreter) -> None:
    with target(direct_python, SERVED) as process, watched(process.pid) as watch:

        def served() -> dict[str, list[str]]:
            """Client -> those that are told to serve it."""
            tasks = watch.told.tasks
            rows = [r for r in tasks.values() if r.name.endswith(" asks") and r.state == "io"]
            return {r.name: [tasks[t].name for t in r.awaits if t in tasks] for r in rows}

        others = {"serves object asks": {"ping"}}

        def right() -> bool:
            told = served().items()
            return len(told) == 5 and all(
                set(those) - others.get(client, set()) == {client.removesuffix(" asks")} for client, those in told
            )

        try:
            watch.until(right)
        except AssertionError:
            assert not served(), "each by the task that its name says"
            raise


BOTH_SEND = r"""
import asyncio
async def peer(reader, writer):
    writer.write(b"." * 50_000_000)
    await writer.drain()
    await reader.readexactly(50_000_000)
async def main():
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    asyncio.get_running_loop().call_later(0.2, lambda: print("ready", flush=True))
    await peer(reader, writer)
asyncio.run(main())
"""


@pytest.mark.some(8, 12, 15)
def test_both_ends_send_and_nobody_reads(direct_python: Interpreter) -> None:
    with target(direct_python, BOTH_SEND) as process:

        def said(blame: Blame) -> None:
            assert blame.verdict == "stuck", blame
            assert "room for what it sends over tcp" in blame.sentence and "they wait for each other" in blame.sentence

        blame_passes(process.pid, said)
