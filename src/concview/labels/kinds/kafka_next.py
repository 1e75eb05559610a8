"""Consumers of Kafka that ask for the next record, in Python: what their callers still have is over. See `kafka`."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind

_GROUP, _CONSUMER = "kafka/consumer/group.py", "aiokafka/consumer/consumer.py"


def read(view: View) -> Raw | None:
    return Raw(WorkKind.JOB, (), next=True)


KIND = Kind(
    "kafka",
    (
        *(At(_GROUP, f"KafkaConsumer.{name}") for name in ("poll", "__next__", "next_v1", "next_v2")),
        *(At(_CONSUMER, f"AIOKafkaConsumer.{name}") for name in ("getone", "getmany", "__anext__")),
    ),
    read,
)
