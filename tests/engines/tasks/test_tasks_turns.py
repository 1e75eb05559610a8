"""Who waits for an event loop, whose thread does something else, and who for a thread that runs one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import blame_passes

from capacity import WAITS
from concview.snapshot import Blame, BlameCause
from interpreters import Interpreter, target

pytestmark = [pytest.mark.units(WAITS), pytest.mark.few]

FULL_QUEUE = """
import asyncio, queue
jobs = queue.Queue(1)

async def produce():
    jobs.put(1)
    print("ready", flush=True)
    jobs.put(2)

async def consume():
    while True:
        await asyncio.sleep(0.2)
        jobs.get()

async def main():
    await asyncio.gather(produce(), consume())

asyncio.run(main())
"""
BLOCKED = """
import asyncio, sys

async def tick():
    while True:
        await asyncio.sleep(0.05)

async def read():
    print("ready", flush=True)
    sys.stdin.buffer.raw.read(1)

async def main():
    tasks = [asyncio.ensure_future(tick()) for _ in range(8)]
    await asyncio.sleep(0.2)
    await read()

asyncio.run(main())
"""
SHARED_LOOP = """
import asyncio, threading
loop, guard = asyncio.new_event_loop(), threading.RLock()

async def beside():
    await asyncio.sleep(1000)

async def fetch():
    others = [asyncio.ensure_future(beside()) for _ in range(6)]
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    print("ready", flush=True)
    await reader.readline()

def call():
    with guard:
        loop.run_until_complete(fetch())

import socket
server = socket.create_server(("127.0.0.1", 0))
PORT = server.getsockname()[1]
threads = [threading.Thread(target=call, name=f"caller-{i}", daemon=True) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
#: Behind `serve`: a server at `port`, in the loop of a thread.
SERVER = """
import asyncio, socket, threading

def run():
    async def main():
        global port
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        started.set()
        await asyncio.Event().wait()
    asyncio.run(main())

started = threading.Event()
threading.Thread(target=run, name="server", daemon=True).start()
started.wait()
"""
OWN_SERVER = f"""
import time

async def serve(reader, writer):
    while await reader.readline():
        time.sleep(0.5)
        writer.write(b"done\\n")
        await writer.drain()
{SERVER}
async def ask():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"do\\n")
        await reader.readline()

async def clients():
    await asyncio.gather(*(ask() for _ in range(6)))

print("ready", flush=True)
asyncio.run(clients())
"""
TAKES_IN_A_GENERATOR = """
import asyncio

def stream():
    queue = asyncio.Queue(2)
    async def items():
        while True:
            yield await queue.get()
    return queue, items()

async def send(body):
    async for item in body:
        await asyncio.sleep(100_000)

async def broadcast(queues):
    while True:
        for queue in queues:
            await queue.put("x")

async def main():
    queues, bodies = zip(*(stream() for _ in range(2)))
    tasks = [asyncio.ensure_future(send(body)) for body in bodies]
    tasks.append(asyncio.ensure_future(broadcast(queues)))
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)

asyncio.run(main())
"""
SET_BY_A_SIGNAL = """
import asyncio, signal

async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ended.set)
    print("ready", flush=True)
    await ended.wait()

asyncio.run(main())
"""
READS_FROM_ITS_OWN_SERVER = f"""
async def serve(reader, writer):
    await reader.readline()
{SERVER}
connection = socket.create_connection(("127.0.0.1", port))
print("ready", flush=True)
connection.recv(1)
"""


def _cause(blame: Blame, what: str) -> BlameCause:
    found = [c for c in blame.causes if c.path and what in c.path[0].what]
    assert found, f"nobody waits for {what}"
    return found[0]


def test_a_loop_that_waits_for_what_only_its_own_task_would_do(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        assert blame.verdict == "stuck"
        assert "MainThread for room in jobs, consume for a turn in the loop" in blame.sentence

    with target(direct_python, FULL_QUEUE) as process:
        blame_passes(process.pid, check)


def test_a_sleep_that_is_over_is_a_wait_for_the_loop(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        cause = _cause(blame, "a turn in the loop")
        assert (cause.path[0].via, len(cause.tasks), cause.ends) == ("turn", 8, "MainThread")

    with target(direct_python, BLOCKED) as process:
        blame_passes(process.pid, check)


def test_who_waits_for_a_thread_that_runs_a_loop_waits_for_its_task(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        cause = _cause(blame, "guard")
        assert (cause.kind, cause.path[-1].what) == ("peer", "the end of fetch")

    with target(direct_python, SHARED_LOOP) as process:
        blame_passes(process.pid, check)


def test_an_answer_of_the_own_server_waits_for_its_loop(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        ours = [c for c in blame.causes if c.path and c.path[0].what.startswith("an answer over tcp")]
        assert sum(c.thread_s for c in ours if c.kind == "sleep") > 0.5 * 6 * blame.seconds

    with target(direct_python, OWN_SERVER) as process:
        blame_passes(process.pid, check)


def test_who_takes_out_of_a_queue_in_a_generator_makes_room_in_it(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        cause = _cause(blame, "room in queue")
        assert (cause.kind, cause.ends) == ("sleep", "send")

    with target(direct_python, TAKES_IN_A_GENERATOR) as process:
        blame_passes(process.pid, check)


def test_an_event_that_a_signal_sets_is_idle(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        assert blame.verdict == "idle"
        assert any(q.what == "waits for ended, to be told to end" for q in blame.quiets)

    with target(direct_python, SET_BY_A_SIGNAL) as process:
        blame_passes(process.pid, check)


def test_a_thread_and_a_task_at_the_two_ends_of_a_connection_wait_to_read(direct_python: Interpreter) -> None:
    def check(blame: Blame) -> None:
        assert any(c.what == "a connection of which both ends wait to read" for c in blame.causes)

    with target(direct_python, READS_FROM_ITS_OWN_SERVER) as process:
        blame_passes(process.pid, check)
