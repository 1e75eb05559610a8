"""What a task that waits for I/O is connected to: from its frames to a transport or socket, and that one's peer."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator

from msgspec import structs

from concview.cpython.aio.chain import Chains, Link
from concview.cpython.aio.roles import TO_TRANSPORT
from concview.cpython.aio.values import BAD, Values
from concview.cpython.code import Code
from concview.cpython.read_cache import ReadCache
from concview.linux.peers import Peers
from concview.linux.process_facts import ProcessFacts
from concview.linux.sockets import join, known_as
from concview.model import Peer
from concview.text import clean

#: Attributes followed in a row, and objects looked at for one peer.
_MAX_DEPTH, _MAX_OBJECTS = 5, 40
#: Of a chain's frames, innermost first.
_MAX_LINKS = 12
#: The same, for who fills a queue.
_FEEDS = 4
_STARTS = ("self", "sock", "conn", "con", "connection", "writer", "reader")
_PLAIN = frozenset(
    {"NoneType", "str", "int", "bool", "float", "dict", "list", "tuple", "set", "bytes", "bytearray", "method",
     "function", "collections.deque", "builtin_function_or_method", "weakref", "type", ""}
)  # fmt: skip
#: Variables of a frame of which all are looked at, and types of those that lead to a connection by any name.
_MAX_VARIABLES = 24
_LEADS = re.compile("Stream|Transport|Protocol|Connection|Socket")
#: Ends of the names of types that are a transport, or have a socket (tornado).
_TRANSPORTS = ("Transport", "IOStream")
#: uvloop: a transport is a Cython object with a pointer to libuv's handle behind header and vtable; a stream's
#: descriptor lies there (uv__io_t of include/uv/unix.h). Checked against the descriptors that are open.
_UV_HANDLE, _UV_FD = 24, 184


class Transports:
    def __init__(self, values: Values, chains: Chains, process: int | ProcessFacts) -> None:
        self._values, self._chains = values, chains
        self._peers = Peers(process)
        #: Objects from which no peer was found, by their memory alone.
        self._nothing = ReadCache[Peer | None](values.memory)
        self._asked = False  #: the last search has asked the kernel
        self._slots: dict[int, tuple[Code, tuple[int, ...]]] = {}

    def close(self) -> None:
        self._peers.close()

    def of_chain(self, links: list[Link]) -> Peer | None:
        """From the innermost frame outwards."""
        values = self._values
        starts: dict[int, None] = {}
        with contextlib.suppress(*BAD):
            for link in reversed(links[-_MAX_LINKS:]):
                for slot in self._starts(link):
                    starts[self._chains.slot(link, slot)] = None
        addresses = [a for a in starts if a]
        kinds = dict(zip(addresses, values.type_names(addresses), strict=True)) if addresses else {}
        addresses = [a for a in dict.fromkeys(values.cell(a) if kinds[a] == "cell" else a for a in addresses) if a]
        addresses = [a for a in addresses if kinds.get(a, "object") not in _PLAIN]
        # What tasks of a server have in common (its application, its layers) is asked by every one of them.
        nothing = self._nothing.ask_many(addresses)
        left = _MAX_OBJECTS
        for address in addresses:
            if address in nothing:
                continue
            seen: set[int] = set()
            self._asked = False
            peer = self._nothing.work_out(address, functools.partial(self.of, address, seen))
            left -= len(seen)
            if peer is not None or self._asked or left <= 0:
                self._nothing.drop(address)
            if peer is not None or left <= 0:
                return peer
        return None

    def accepted(self, links: list[Link]) -> set[str]:
        """Addresses of the clients whose connections a task's frames have in variables, or in attributes of `self`; of
        each frame the first."""
        found: set[str] = set()
        values, left = self._values, _MAX_OBJECTS
        for link in (*links[:2], *links[2:][-_MAX_LINKS + 2 :]):
            with contextlib.suppress(*BAD):
                have = self._chains.at_hand(link, _MAX_VARIABLES)
                for (address, name), kind in zip(have.items(), values.type_names(list(have)), strict=True):
                    if left <= 0 or not (name in _STARTS or _LEADS.search(kind)):
                        continue
                    seen: set[int] = set()
                    peer = self.of(address, seen)
                    left -= max(1, len(seen))
                    if peer is not None and peer.accepted:
                        found.add(peer.name)
                        break
        return found

    def _starts(self, link: Link) -> tuple[int, ...]:
        """Slots of a frame's variables from which a search begins."""
        code = link.place.code
        known = self._slots.get(code.address)
        if known is None or known[0] is not code:
            if len(self._slots) >= 4096:
                self._slots.clear()
            names = self._chains.variables(link)
            known = self._slots[code.address] = code, tuple(names[name] for name in _STARTS if name in names)
        return known[1]

    def of(self, address: int, seen: set[int] | None = None) -> Peer | None:
        """What an object leads to, or the number of a descriptor; None where nothing is found."""
        with contextlib.suppress(*BAD):
            if self._values.type_name(address) == "int":
                return self._of_descriptor(self._values.integer(address))
            return self._search(address, set() if seen is None else seen, _MAX_DEPTH)
        return None

    def feeder(self, links: list[Link], queue: int) -> int:
        """A protocol that one of these frames has, or is a method of, and that has the queue: it puts there what its
        transport receives. 0 where there is none, or where it leads to no peer. Never raises."""
        values = self._values
        for link in reversed(links[-_FEEDS:]):
            with contextlib.suppress(*BAD):
                every = list(self._chains.at_hand(link, _MAX_VARIABLES))
                for address, kind in zip(every, values.type_names(every), strict=True):
                    protocol = "Protocol" in kind or values.is_a(address, "BaseProtocol")
                    if protocol and self.feeds(address, queue) is not None:
                        return address
        return 0

    def feeds(self, protocol: int, queue: int) -> Peer | None:
        """The peer of a protocol that has this queue; None where it has not. Never raises."""
        return self.of(protocol) if queue in self._values.attributes(protocol).values() else None

    def to(self, link: Link) -> Peer | None:
        """What a frame's `host` and `port` say; None where they are not such."""
        values = self._values
        with contextlib.suppress(*BAD):
            host, port = self._chains.local(link, "host"), self._chains.local(link, "port")
            name, number = values.text(host), values.integer(port, -1)
            if values.type_name(host) == "str" and name and 0 < number < 65_536:
                return Peer("tcp", clean(join(name, number)), known_as=clean(known_as(name, number, "tcp")))
        return None

    def _of_descriptor(self, fd: int) -> Peer | None:
        self._asked = True
        return self._peers.of(fd)

    def _search(self, address: int, seen: set[int], depth: int) -> Peer | None:
        if not address or address in seen or depth < 0 or len(seen) >= _MAX_OBJECTS:
            return None
        seen.add(address)
        values = self._values
        kind = values.type_name(address)
        if kind in _PLAIN:
            return None
        if values.is_a(address, "_socket.socket"):
            return self._of_descriptor(values.int32(address + values.layout.fd))
        if kind.startswith("uvloop.") and "Transport" in kind:
            handle = values.memory.word(address + _UV_HANDLE)
            fd = values.int32(handle + _UV_FD) if handle else -1
            return self._of_descriptor(fd) if fd > 2 else None
        attributes = values.attributes(address)
        extra = attributes.get("_extra", 0)
        if extra and values.type_name(extra) == "dict":
            peer = self._named(values.objects.lookup(extra, "peername"), "udp" if "Datagram" in kind else "tcp")
            if peer is not None:
                # A transport knows the server that accepted its connection, for as long as it is open.
                served = values.type_name(attributes.get("_server", 0)) not in ("", "NoneType")
                if served:
                    return structs.replace(peer, accepted=True)
                own = self._named(values.objects.lookup(extra, "sockname")) if peer.kind == "tcp" else None
                return structs.replace(peer, local=own.name) if own is not None else peer
        if "_sock_fd" in attributes:
            return self._of_descriptor(values.integer(attributes["_sock_fd"]))
        if "_pid" in attributes and "_exit_waiters" in attributes:  # of a subprocess
            self._asked = True
            return self._peers.child(values.integer(attributes["_pid"]))
        for part in self._parts(attributes):
            peer = self._search(part, seen, depth - 1)
            if peer is not None:
                return peer
        if "_pipe" in attributes and "_fileno" in attributes:  # a pipe to no child of asyncio's
            return self._of_descriptor(values.integer(attributes["_fileno"]))
        return None

    def _parts(self, attributes: dict[str, int]) -> Iterator[int]:
        """Attributes that lead to a transport: by name, else by type, as a program calls what it was given by
        `connection_made` as it likes."""
        for name in TO_TRANSPORT:
            if name in attributes:
                yield attributes[name]
        others = [a for name, a in list(attributes.items())[:_MAX_VARIABLES] if a and name not in TO_TRANSPORT]
        for part, kind in zip(others, self._values.type_names(others), strict=True):
            if kind.endswith(_TRANSPORTS):
                yield part

    def _named(self, address: int, kind: str = "tcp") -> Peer | None:
        """`peername`: (host, port, ...) or a path. `kind`: tcp, udp."""
        values = self._values
        of_address = values.type_name(address)
        if of_address == "str":
            path = clean(values.text(address))
            return Peer("unix", path) if path else None
        if of_address != "tuple":
            return None
        items = values.objects.tuple_items(address, 8)
        host, port = (values.text(items[0]), values.integer(items[1])) if len(items) >= 2 else ("", -1)
        if not host or port < 0:
            return None
        status = "ESTABLISHED" if kind == "tcp" else ""
        return Peer(kind, clean(join(host, port)), status=status, known_as=clean(known_as(host, port, kind)))
