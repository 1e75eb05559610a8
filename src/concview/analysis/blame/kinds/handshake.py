"""A client's part of a TLS handshake, for which accept() itself waits: of a listening socket that was wrapped.

That is no request that has not come: whoever accepts next waits behind that one client.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import bare, is_file
from concview.model import WaitKind

_SSL = "ssl.py"


class Handshake:
    order: ClassVar[int] = 16
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        if look.wait.kind is not WaitKind.IO:
            return False
        names = [bare(f.function) for f in look.stack.frames if is_file(f, _SSL)]
        return "do_handshake" in names and "accept" in names[names.index("do_handshake") :]

    def follow(self, waiter: Waiter) -> Root:
        peer = waiter.wait.peer
        named = f" ({peer.kind} {peer.known_as or peer.name})" if peer is not None and not peer.nameless else ""
        said = f"a client{named} to do its part of a TLS handshake inside accept(), so that nobody else is accepted"
        return waiter.end(End.PEER, said)


KIND = Handshake()
