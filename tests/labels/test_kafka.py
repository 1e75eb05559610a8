"""The record of Kafka that a thread or task handles, kept in variables as the libraries' users do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import KeepingSink, tick_until, watching

from concview.labels.base import Raw
from concview.labels.policy import label
from concview.model import Work, WorkKind
from interpreters import Interpreter, target

SECRET = "xyzzysecret"
#: Records as kafka-python (2.0, and with a field more since 2.1) and aiokafka have them.
TARGET = r"""
import asyncio, collections, dataclasses, threading
SECRET = "xyzzy" + "secret"
Old = collections.namedtuple("ConsumerRecord", "topic partition offset timestamp timestamp_type key value headers "
    "checksum serialized_key_size serialized_value_size serialized_header_size")
New = collections.namedtuple("ConsumerRecord", "topic partition leader_epoch offset timestamp timestamp_type key value "
    "headers checksum serialized_key_size serialized_value_size serialized_header_size")
@dataclasses.dataclass
class ConsumerRecord:
    topic: str
    partition: int
    offset: int
    key: str
    value: str
rest = (1700000000000, 0, SECRET, SECRET, [(SECRET, SECRET)], None, 5, 5, 5)
stay = threading.Event()
inside = threading.Semaphore(0)
def handle():
    inside.release()
    stay.wait()
def consume(records):
    for record in records:
        handle()
def delivered(err, msg):
    handle()
async def main():
    async def serve(msg):
        await asyncio.sleep(3600)
    await serve(ConsumerRecord("tasks", 3, 33, SECRET, SECRET))
for records in ([Old("orders.v1", 1, 11, *rest)], [New("orders.v2", 2, None, 22, *rest)]):
    threading.Thread(target=consume, args=(records,), daemon=True).start()
threading.Thread(target=delivered, args=(None, Old("sent", 9, 99, *rest)), daemon=True).start()
threading.Thread(target=consume, args=([Old("free text " + SECRET, 5, 55, *rest)],), daemon=True).start()
for _ in range(4):
    inside.acquire()
print("ready", flush=True)
asyncio.run(main())
"""


def _told(sink: KeepingSink) -> set[tuple[str, str, str]]:
    work = next((e for e in reversed(sink.events) if isinstance(e, Work)), None)
    labels = [sink.labels[i.label] for i in work.items] if work is not None else []
    return {(one.name, one.missing, one.id) for one in labels if one is not None}


@pytest.mark.few
def test_topic_partition_and_offset(direct_python: Interpreter) -> None:
    wanted = {
        ("orders.v1 partition 1", "", "11"),
        ("orders.v2 partition 2", "", "22"),
        ("tasks partition 3", "", "33"),
        ("", "name", "55"),  # no topic that Kafka would allow
    }
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: _told(sink) == wanted, looks=True)
        assert SECRET not in repr(vars(sink))


def test_an_id_in_digits_is_told_of_records_alone() -> None:
    assert label(Raw(WorkKind.JOB, (), name="orders", partition=0, id="123456"), False).id == "123456"
    assert label(Raw(WorkKind.JOB, (), name="orders", partition=0, id="12 4"), False).id == ""
    assert label(Raw(WorkKind.JOB, (), name="orders", id="1234"), False).id == ""
