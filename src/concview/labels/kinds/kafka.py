"""Kafka: the record that a consumer handles, by topic, partition and offset: never its key or value.

No frame of the libraries has it meanwhile: the program asked for it, and keeps it in a variable. So functions with a
variable that is called as such things are called are asked, and the object's type decides. A loop that asks for the
next one still has the last one in it: where the library's own frame, or its call into C, is inside, that one is over.
What a producer's callback is handed beside an error is a report on what was sent.

Seen with kafka-python 2.0 (a named tuple; 3.0 has a field more), aiokafka 0.14 (a dataclass), confluent-kafka 2.0 and
2.16 (`cimpl.Message`, src/confluent_kafka.h: topic, value, key, headers, C's headers, error, partition, offset).
"""

from __future__ import annotations

import struct

from concview.labels.access import Ref
from concview.labels.base import Kind, Raw, View
from concview.model import WorkKind

_VARIABLES = ("message", "msg", "record", "rec", "m", "event", "consumer_record", "kafka_message")
_ERRORS = ("err", "error")
_MESSAGE = "cimpl.Message"
_TYPES = frozenset({"confluent_kafka.cimpl.Consumer", "cimpl.Consumer"})
_FETCHES = frozenset({"poll", "consume"})
#: Of `cimpl.Message`, behind the header.
_ERROR_AT, _PARTITION = 40, struct.Struct("<i4xq")
_NEXT = Raw(WorkKind.JOB, (), next=True)


def read(view: View) -> Raw | None:
    if view.call(_TYPES, _FETCHES) is not None:
        return _NEXT
    for name in _VARIABLES:
        value = view.local(name)
        if value and (found := _record(value)) is not None:
            topic, partition, offset = found
            if not topic or partition < 0 or any(view.local(e).address for e in _ERRORS):
                return None
            key = ("kafka", value.address, topic, partition, offset)
            return Raw(WorkKind.JOB, key, name=topic, partition=partition, id=str(offset) if offset >= 0 else "")
    return None


def _record(value: Ref) -> tuple[str, int, int] | None:
    """Topic, partition, offset; None for anything else."""
    kind = value.type
    if kind == "ConsumerRecord":
        topic = value.at(0)
        if topic:
            # Between partition and offset, of thirteen fields, is the leader's epoch.
            offset = value.at(3 if value.at(12).address else 2)
            return topic.text(250), value.at(1).integer(), offset.integer()
        return value.attr("topic").text(250), value.attr("partition").integer(), value.attr("offset").integer()
    if kind.endswith(_MESSAGE):
        topic, error = value.word(0), value.word(_ERROR_AT)
        if topic.type != "str" or error.type != "NoneType":
            return None  # an error in place of a record, or a layout that is not known
        partition, offset = _PARTITION.unpack(value.raw(_ERROR_AT + 8, _PARTITION.size))
        return topic.text(250), partition, offset
    return None


KIND = Kind("kafka", (), read, _FETCHES, variables=frozenset(_VARIABLES))
