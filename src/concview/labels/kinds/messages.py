"""A message of a broker that a function of the program's handles, told by the function: never the message, its queue or
its routing key.

Whichever library brought it: no frame of the library has it while the program works on it in a loop of its own, so
functions with a variable that is called as such things are called are asked. A message is an object of an installed
library's that says how it was delivered, for it may have to be acknowledged. Where a frame of the same library which
takes the next one is inside, the last one is over.

Seen with pika 1.3, aio-pika 9 and 10, nats-py 2, kombu 5, paho-mqtt 2.
"""

from __future__ import annotations

from concview.labels.access import Ref
from concview.labels.base import Kind, Raw, View
from concview.model import WorkKind

_VARIABLES = (
    "message", "msg", "m", "method", "method_frame", "deliver", "delivery", "incoming", "envelope",
)  # fmt: skip
#: AMQP numbers what it delivers on a channel (basic.deliver, delivery-tag); Azure's service bus locks it.
_NUMBER, _TOKEN = "delivery_tag", "lock_token"
_BODIES = ("body", "data", "payload", "_data")
#: JetStream's messages are answered to a subject of their own.
_ANSWERED = "$JS.ACK."


def read(view: View) -> Raw | None:
    for name in _VARIABLES:
        value = view.local(name)
        if value and value.type not in _PLAIN and (found := _delivered(value)) is not None:
            package = value.package()
            if not package or package in view.taking():
                return None
            told, alike = found
            body = next((b.address for n in _BODIES if (b := value.attr(n))), view.local("body").address)
            # Each channel counts for itself.
            way = value.attr("consumer_tag").text(100), value.attr("channel").address, value.attr("_sid").address
            key = ("message", value.address, told, body, *way)
            return Raw(WorkKind.JOB, key, name=view.function(), alike=alike, system=package)
    return None


_PLAIN = frozenset({"str", "bytes", "dict", "list", "tuple", "int", "function", "method"})


def _delivered(value: Ref) -> tuple[object, bool] | None:
    """What tells a message from the one before it, and whether that may be the same of the next; None: no message."""
    number = value.attr(_NUMBER).integer()
    if number >= 0:
        return number, False
    if token := value.attr(_TOKEN):
        return token.text(64), False
    if value.attr("_ackd").type == "bool":  # nats
        reply = value.attr("reply")
        return (reply.text(200), not reply.text(200).startswith(_ANSWERED)) if reply else ("", True)
    if value.attr("qos").type == "int" and value.attr("payload"):  # MQTT: numbered where it is to be acknowledged
        number = value.attr("mid").integer()
        return number, number <= 0
    return None


KIND = Kind("message", (), read, variables=frozenset(_VARIABLES), own=True)
