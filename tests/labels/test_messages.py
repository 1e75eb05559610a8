"""Messages of brokers: told by the function that handles them, while it does, and never by anything of theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import KeepingSink, tick_until, watching

from concview.model import Work, WorkKind
from interpreters import Interpreter, target

SECRET = "xyzzysecret"
#: A library's part of it, in three manners: AMQP's numbers, nats' and MQTT's.
LIBRARY = """
import threading
class Message:
    def __init__(self, tag, body, channel=None):
        self.delivery_tag, self.body, self.channel, self.consumer_tag = tag, body, channel, "ctag." + body
class Msg:
    def __init__(self, body):
        self.data, self.subject, self.reply, self._ackd = body, body, "", False
class Published:
    __slots__ = ("mid", "payload", "qos")
    def __init__(self, mid, body):
        self.mid, self.qos, self.payload = mid, 1, body
class Draft:
    def __init__(self, body):
        self.body = body
def consume(messages, go):
    for each in messages:
        yield each
        go.wait()
def dispatch(function, *arguments):
    function(*arguments)
"""
TARGET = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import brokerlib
SECRET = "xyzzy" + "secret"
inside, stay, never = threading.Semaphore(0), threading.Event(), threading.Event()
def handle():
    inside.release()
    stay.wait()
class Worker:
    def on_order(self, channel, method, body):
        handle()
def in_a_loop():
    for message in brokerlib.consume([brokerlib.Message(7, SECRET)], never):
        handle()
def takes_the_next():
    for message in brokerlib.consume([brokerlib.Message(8, SECRET)], never):
        inside.release()
def on_event(msg):
    handle()
def on_publish(client, userdata, message):
    handle()
def writes(message):
    handle()
def start(function, *arguments):
    threading.Thread(target=brokerlib.dispatch, args=(function, *arguments), daemon=True).start()
for tag in (1, 2):  # two channels, each of which counts for itself
    start(Worker().on_order, None, brokerlib.Message(tag, SECRET, object()), SECRET)
start(in_a_loop), start(takes_the_next)
start(on_event, brokerlib.Msg(SECRET)), start(on_publish, None, None, brokerlib.Published(3, SECRET))
start(writes, brokerlib.Draft(SECRET))
for _ in range(7):
    inside.acquire()
print("ready", flush=True)
sys.stdin.readline()
stay.set()
sys.stdin.readline()
"""


@pytest.mark.few
def test_a_message_is_told_by_the_function_that_handles_it(direct_python: Interpreter, tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3" / "site-packages"
    (packages / "brokerlib").mkdir(parents=True)
    (packages / "brokerlib" / "__init__.py").write_text(LIBRARY)

    def told(sink: KeepingSink) -> list[str]:
        work = next((e for e in reversed(sink.events) if isinstance(e, Work)), None)
        labels = [sink.labels[i.label] for i in work.items] if work is not None else []
        assert all(one is None or (one.kind, one.system) == (WorkKind.JOB, "brokerlib") for one in labels)
        return sorted(one.name.rpartition(".")[2] for one in labels if one is not None)

    wanted = ["in_a_loop", "on_event", "on_order", "on_order", "on_publish"]
    with (
        target(direct_python, TARGET, str(packages)) as process,
        watching(process.pid) as (engine, sink),
    ):
        tick_until(engine, lambda: told(sink) == wanted, looks=True)
        process.send("over")
        tick_until(engine, lambda: not told(sink), looks=True)
        assert SECRET not in repr(vars(sink))
