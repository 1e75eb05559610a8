"""When something was last sent over connections that tasks wait at."""

from __future__ import annotations

import time

import pytest

from capacity import WAITS
from concview.model import Links
from concview.session import LiveSource, Session
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
        session = Session(LiveSource(process.pid))
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
