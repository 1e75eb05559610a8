"""`check` of clients of a server in the same process that serves many connections in one loop, by epoll: they wait for
whatever that thread is at. And of a callback that waits for what only itself would bring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running import run

from capacity import WAITS
from interpreters import Interpreter, current, target
from waiting import given_time

pytestmark = pytest.mark.units(WAITS)

#: Clients begin before the one that does not read what it is sent; the server tells which of its threads that is.
PROGRAM = """
import selectors, socket, sys, threading, time
kind = sys.argv[1]
listener, events = socket.create_server(("127.0.0.1", 0)), selectors.DefaultSelector()
blocked = threading.Semaphore(0)
def serve():
    events.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():
            if key.fileobj is listener:
                events.register(listener.accept()[0], selectors.EVENT_READ)
            else:
                asked = key.fileobj.recv(16)
                key.fileobj.sendall(b"x" * int(asked))
def client():
    mine = socket.create_connection(listener.getsockname())
    while True:
        mine.sendall(b"10")
        mine.recv(100)
        time.sleep(0.01)
def archiver():
    mine = socket.create_connection(listener.getsockname())
    mine.sendall(b"90000000")
    while True:
        time.sleep(60)
threading.Thread(target=serve, name="server", daemon=True).start()
for number in range(3):
    threading.Thread(target=client, name=f"client-{number}", daemon=True).start()
time.sleep(0.3)
if kind == "blocked":
    threading.Thread(target=archiver, name="archiver", daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.few
def test_clients_of_a_loop_that_is_in_one_call(any_python: Interpreter) -> None:
    with target(any_python, PROGRAM, "blocked") as process:

        def right(seconds: float) -> None:
            sentence = check(process.pid, seconds)["blame"]["sentence"]
            assert "(client)" in sentence and "server" in sentence and "archiver" in sentence, sentence

        given_time(right, 7, 14, 28)


def test_clients_of_a_loop_that_answers_are_held_up_by_nobody() -> None:
    with target(current(), PROGRAM, "answers") as process:
        said = check(process.pid, 7)["blame"]
    assert said["verdict"] not in ("held up", "stuck", "waits", "unexplained"), said["sentence"]


LIBRARY = """
class Client:
    def __init__(self, lines):
        self.lines = lines
    def run(self):
        for line in self.lines:
            self.on_message(line)
"""
CALLBACK = """
import queue, sys, threading, time
sys.path.insert(0, sys.argv[2])
import feed
replies = queue.Queue()
def ask():
    return replies.get()
def on_message(line):
    if line == "reply":
        replies.put(line)
    elif sys.argv[1] == "itself":
        print(ask())
def lines():
    yield "order"
    while True:
        time.sleep(0.1)
        yield "news"
client = feed.Client(lines())
client.on_message = on_message
threading.Thread(target=client.run, name="feed", daemon=True).start()
if sys.argv[1] == "another":
    threading.Thread(target=ask, name="asks", daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(("kind", "stuck"), [("itself", True), ("another", False)])
def test_a_callback_that_waits_for_what_only_itself_would_bring(tmp_path: Path, kind: str, stuck: bool) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "feed.py").write_text(LIBRARY)
    with target(current(), CALLBACK, kind, str(folder)) as process:

        def right(seconds: float) -> None:
            said = check(process.pid, seconds)["blame"]
            assert (said["verdict"] == "stuck") is stuck, said["sentence"]
            assert ("on_message" in said["sentence"]) is stuck

        given_time(right, *((7, 14, 28) if stuck else (7,)))


def check(pid: int, seconds: float) -> Any:
    return json.loads(run("check", pid, "--duration", seconds, "--format", "json").stdout)
