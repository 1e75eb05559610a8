"""Connections that nobody has accepted, of real servers: who should, and what he does instead."""

from __future__ import annotations

import json
import time

import pytest
from direct_helpers import KeepingSink, tick_until, watching

from capacity import WAITS
from collectors import nursery
from concview.model import AcceptQueue, AcceptQueues
from concview.session import LiveSource, Session
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: One thread accepts and answers; clients say nothing, and it waits for the first one's request.
THREAD = r"""
import json, socket, threading
class Server:
    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=7)
        self.accepted = threading.Event()
    def answer(self, connection):
        self.accepted.set()
        connection.recv(10)
    def serve(self):
        while True:
            connection, _ = self.listening.accept()
            self.answer(connection)
server = Server()
accepting = threading.Thread(target=server.serve, daemon=True, name="accepting")
accepting.start()
clients = []
def connect():
    clients.append(socket.create_connection(server.listening.getsockname()))
connect()
server.accepted.wait()
for _ in range(3):
    connect()
print("ready", flush=True)
print(json.dumps([server.listening.getsockname()[1], accepting.native_id]), flush=True)
threading.Event().wait()
"""
#: ... or an event loop, which a callback keeps.
LOOP = r"""
import asyncio, json, os, socket, threading, time
def ask(port):
    kept = []
    for _ in range(3):
        time.sleep(0.05)
        kept.append(socket.create_connection(("127.0.0.1", port)))
    print("ready", flush=True)
    print(json.dumps([port, main]), flush=True)
    threading.Event().wait()
async def serve():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, backlog=7)
    port = server.sockets[0].getsockname()[1]
    threading.Thread(target=ask, args=(port,), daemon=True).start()
    time.sleep(3600)
main = threading.get_native_id()
asyncio.run(serve())
"""


def _of(sink: KeepingSink) -> AcceptQueue | None:
    for event in reversed(sink.events):
        if isinstance(event, AcceptQueues):
            return next(iter(event.queues), None)
    return None


@pytest.mark.few
@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_who_waits_and_who_should_accept(direct_python: Interpreter, kind: str) -> None:
    source = THREAD if kind == "thread" else LOOP
    with target(direct_python, source) as process:
        port, tid = json.loads(process.line())
        session = Session(LiveSource(process.pid, launcher=nursery()))
        session.start()
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                one = next(iter(session.snapshot().listening), None)
                if one is not None and one.waited_s >= 1.5 and one.threads == (tid,):
                    break
                time.sleep(0.1)
        finally:
            session.close()
    assert one is not None
    assert (one.kind, one.name, one.waiting, one.limit) == ("tcp", f"127.0.0.1:{port}", 3, 8)
    assert one.threads == (tid,) and one.refused == 0 and one.shared == ()


@pytest.mark.few
def test_all_is_read_without_a_session(direct_python: Interpreter) -> None:
    source = "import socket\nlistening = socket.create_server(('127.0.0.1', 0))\nprint('ready')\nlistening.accept()"
    with target(direct_python, source) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: _of(sink) is not None, looks=True, pause=0.05)
        one = _of(sink)
    assert one is not None and (one.kind, one.waiting, one.since_ns, one.users) == ("tcp", 0, 0, ())
