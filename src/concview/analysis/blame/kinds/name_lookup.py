"""A name is looked up: getaddrinfo() and its like wait inside the C library for a name server, or for the daemon that
asks it (nscd, systemd-resolved). No timeout of a connection counts meanwhile."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import WaitKind

_CALLS = ("getaddrinfo(", "gethostbyname(", "gethostbyname_ex(", "gethostbyaddr(", "getnameinfo(", "getfqdn(")


class NameLookup:
    order: ClassVar[int] = 41
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        if look.wait.kind not in (WaitKind.IO, WaitKind.FUTEX) or look.stack.leaf is None:
            return False
        return any(call in look.stack.leaf.text for call in _CALLS)

    def follow(self, waiter: Waiter) -> Root:
        peer = waiter.wait.peer
        if waiter.wait.kind is WaitKind.FUTEX:
            return waiter.end(End.LOOKUP, "another lookup inside the C library")
        by_address = peer is not None and peer.kind in ("udp", "tcp")  # of IPv6 it has brackets
        if peer is None or peer.nameless or ("[" in peer.name and not by_address):
            return waiter.end(End.LOOKUP, "a name to be looked up")
        server = peer.name if by_address else peer.known_as or peer.name
        return waiter.end(End.LOOKUP, f"a name to be looked up by {server}")


KIND = NameLookup()
