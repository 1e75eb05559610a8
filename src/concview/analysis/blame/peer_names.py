"""What the other ends of descriptors are called: one name for one peer, whichever look told what of it.

The address of a socket, and which process has its other end, become known at different looks, and not at each. What one
look told is kept, by address and by descriptor, and all that is said of that peer in one verdict says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from concview.analysis.blame.nouns import NOWHERE, Other, Part, Place, Root
from concview.model import Link, Links, Peer

#: Addresses and descriptors that are remembered; processes of one address (workers that share a port).
MOST_NAMES, MOST_PROCESSES = 4_000, 64
#: A process that has not been seen at an address for so long, while others were, is there no longer.
GONE_NS = 60_000_000_000
_K = TypeVar("_K")
_T = TypeVar("_T")
_KINDS = frozenset({"tcp", "udp", "unix", "pipe", "socket"})


@dataclass(slots=True)
class _Process:
    name: str
    looks: int = 0  #: that have told of it
    last_ns: int = 0


class PeerNames:
    def __init__(self) -> None:
        self._named: dict[str, str] = {}  #: 'tcp 10.0.0.7:5432' -> 'tcp db postgresql'
        self._address: dict[str, str] = {}  #: '[12]', the inode of a descriptor -> 'tcp 127.0.0.1:8399'
        self._processes: dict[str, dict[int, _Process]] = {}  #: by address, or by '[12]' -> by pid
        #: Which addresses are waited for at a line, two at most: connections that live for a moment are often gone
        #: before a look tells where they led.
        self._lines: dict[Place, dict[str, str]] = {}

    def learn(self, links: Links) -> None:
        for link in links.links:
            key = _key(link)
            if not key:
                continue
            if link.inode and not key.startswith("["):
                _put(self._address, f"[{link.inode}]", key)
            if link.owners:
                there = self._processes.get(key)
                if there is None:
                    there = {}
                    _put(self._processes, key, there)
                _learn_processes(there, link, links.at_ns)

    def other(self, peer: Peer | None, link: Link | None = None, does: str = "") -> Other | None:
        """Of what a thread or a task waits at; None where that is no socket and no pipe, or several."""
        named = key = ""
        if peer is not None and peer.kind in _KINDS and ", " not in peer.name:
            if "[" in peer.name and peer.kind != "tcp":  # of an address of IPv6 it is no inode
                key = peer.name[peer.name.rindex("[") :]
                named = f"a unix socket {peer.known_as}" if peer.kind == "unix" and peer.known_as else ""
            elif peer.kind in ("tcp", "udp"):
                key, named = f"{peer.kind} {peer.name}", f"{peer.kind} {peer.known_as or peer.name}"
        if link is not None and (told := _key(link)) and (not key or key.startswith("[")):
            key = told
        if not key:
            return None
        if named and peer is not None and peer.known_as:
            _put(self._named, key, named)
        kind = link.kind if link is not None else peer.kind if peer is not None else ""
        pid = link.owners[0].pid if link is not None and link.owners and does else 0
        return Other(kind, key, named, does, pid)

    def best(self, root: Root) -> Root:
        """The same end by the best name that is known by now. What no more is known of stays as it was told."""
        other = root.other
        if other is None:
            return root
        key = self._address.get(other.key, other.key)
        named = self._named.get(key) or other.named or ("" if key.startswith("[") else key)
        if root.place != NOWHERE:
            at_line = self._lines.get(root.place, {})
            if named and key not in at_line and len(at_line) < 2:
                _put(self._lines, root.place, {**at_line, key: named})
            elif not named and other.kind != "pipe" and len(at_line) == 1 and key not in self._processes:
                key, named = next(iter(at_line.items()))
        process = self._process(key, other.pid) or self._process(other.key, other.pid)
        if named:
            what = f"{named} ({'process {}, pid {}{}'.format(*process)})" if process else named
        elif process:
            kind = "pipe" if other.kind == "pipe" else "connection"
            name, pid, more = process
            what = f"process {name} (pid {pid}){more.removeprefix(',')}"
            return root._replace(what=f"{what}{other.does}, over a {kind}", other=Other("", what))
        else:
            return root._replace(other=Other("", ""))
        return root._replace(what=what + other.does, other=Other("", key))

    def parts(self, found: Mapping[int, list[Part]]) -> dict[int, list[Part]]:
        return {node: [part._replace(root=self.best(part.root)) for part in parts] for node, parts in found.items()}

    def _process(self, key: str, wanted: int) -> tuple[str, int, str] | None:
        """(name, pid, ', and 2 more'): of several the wanted one, else that which most looks told of."""
        there = self._processes.get(key)
        if not there:
            return None
        pid = wanted if wanted in there else min(there, key=lambda p: (-there[p].looks, p))
        more = f", and {len(there) - 1} more" if len(there) > 1 else ""
        return there[pid].name or "?", pid, more


def _key(link: Link) -> str:
    """'tcp 127.0.0.1:8399'; '[12]' of what has no address."""
    if link.kind == "tcp" and link.remote:
        return f"tcp {link.remote}"
    return f"[{link.inode}]" if link.inode else ""


def _learn_processes(there: dict[int, _Process], link: Link, at_ns: int) -> None:
    for owner in link.owners[:MOST_PROCESSES]:
        known = there.get(owner.pid)
        if known is None or known.name != owner.name:
            known = there[owner.pid] = _Process(owner.name)
        known.looks += 1
        known.last_ns = at_ns
    for pid in [p for p, known in there.items() if known.last_ns < at_ns - GONE_NS]:
        del there[pid]
    while len(there) > MOST_PROCESSES:
        del there[min(there, key=lambda p: there[p].last_ns)]


def _put(table: dict[_K, _T], key: _K, value: _T) -> None:
    """The ones that came first go first."""
    table.pop(key, None)
    while len(table) >= MOST_NAMES:
        del table[next(iter(table))]
    table[key] = value
