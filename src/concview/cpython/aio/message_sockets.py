"""Sockets for messages whose methods give a future: zmq.asyncio's.

`await socket.recv()` runs no coroutine: the frame that awaits is the program's own, and the future is an entry of the
socket's queue of those who wait, in a variable of that frame or an attribute of `self`.
Source: pyzmq 22 to 27, `zmq/_future.py`, as of 2026.
"""

from __future__ import annotations

import contextlib

from concview.cpython.aio.chain import Chains, Link
from concview.cpython.aio.values import BAD, Values

#: A message that is loaded (`recv_json`), or only looked for (`poll`), gives another future, whose callback knows that
#: of the message in a variable of its closure, or the next one on the way there.
BEFORE = (("_chain_cancel", "recvd"), ("cancel_poll", "poll_future"), ("cancel_watcher", "watcher"))
#: Attribute of a socket -> what those wait for whose futures are in it.
_QUEUES = {"_recv_futures": "recv", "_send_futures": "send"}
_MAX_FRAMES, _MAX_VARIABLES, _MAX_WAITING, _EVENT = 3, 24, 256, 16


def waits_to(values: Values, chains: Chains, links: list[Link], future: int) -> str:
    """'recv', 'send'; '' where no such socket is found in the frames that wait for the future: there may be one of
    `wait_for` before the program's. Never raises."""
    found = (_in_frame(values, chains, link, future) for link in reversed(links[-_MAX_FRAMES:]))
    return next((wants for wants in found if wants), "")


def _in_frame(values: Values, chains: Chains, link: Link, future: int) -> str:
    with contextlib.suppress(*BAD):
        every = list(chains.at_hand(link, _MAX_VARIABLES))
        for address, kind in zip(list(every), values.type_names(every), strict=True):
            if kind.endswith("Poller"):  # it has (socket, what is looked for)
                pairs = values.list_items(values.attribute(address, "sockets"), _MAX_WAITING)
                every += [values.objects.tuple_items(pair, 2)[0] for pair in pairs if values.is_a(pair, "tuple")]
        for address, kind in zip(every, values.type_names(every), strict=True):
            if not kind.endswith("Socket"):
                continue
            attributes = values.attributes(address)
            for name, wants in _QUEUES.items():
                waiting = attributes.get(name, 0)
                if not waiting or values.type_name(waiting) != "collections.deque":
                    continue
                for event in values.objects.deque_items(waiting, _MAX_WAITING):
                    if values.is_a(event, "tuple") and future in values.objects.tuple_items(event, _EVENT)[:1]:
                        return wants
    return ""
