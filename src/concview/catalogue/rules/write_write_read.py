"""A request of two small writes waits 40 ms for nothing: the kernel holds back the second one.

What it sees:
    Threads that wait for data on a TCP connection while the kernel, here or at the other end, still holds back the end
    of what was to be answered.

Why it hurts:
    Of several small writes only the first one is sent at once; the next one waits until the first is acknowledged
    (Nagle's algorithm). The other side has nothing to answer yet, so it acknowledges late, after 40 ms on Linux. Both
    sides read, nobody works, and every request takes 40 ms more. Headers and a body written one after the other are
    enough: http.server does it.

How it is measured:
    The kernel's own count of bytes that it has taken from the program and not sent, read together with who waits on
    the connection, twice a second at most: the share of the time of the thread that waits longest in which it waits
    so. A single look may catch what is about to be sent: it must be seen three times. Thresholds 0.2 and 0.5 [H]: demo
    pair 0.9 to 1.0 (bad), 0.0 (fixed).

Fix:
    Send a request, or an answer, with one call; or tell the kernel not to wait.

        connection.sendall(headers + body)              # instead of two sends
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    In a socketserver handler: wbufsize = -1 and flush once, or disable_nagle_algorithm = True.

When it is fine:
    Where 40 ms more do not matter: a connection that is used once a minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from concview.analysis.window import WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._crowd import Crowd, crowds
from concview.model import Confidence, Link, Links, State
from concview.text import duration, percent, waits

#: Looks that must have seen it, and the largest piece that is held back for being small: a segment on the loopback
#: interface is 64 KiB, on others 1.4 KiB. What is more waits for room at the other side.
MIN_LOOKS, MAX_HELD = 3, 64 * 1024
#: What is the same at one look after the other is told once; looks are no further apart than this.
_LOOK_NS = 2_000_000_000
_READS = frozenset({"read", "recvfrom", "recvmsg", "poll", "ppoll", "select", "epoll_wait"})


@dataclass(slots=True)
class _Seen:
    looks: int = 0  #: in which somebody waited there
    held: list[Link] = field(default_factory=list)  #: one for each look that saw it


class WriteWriteRead:
    id: ClassVar[str] = "write-write-read"
    title: ClassVar[str] = "A second small write is held back while both sides read"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.2, 0.5, "share of its time", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time in which a thread waits for what is held back"

    def observe(self, window: Window) -> Iterable[Observation]:
        seen = _looks(window)
        if not any(one.held for one in seen.values()):
            return
        ours = {link.inode for one in seen.values() for link in one.held if link.unsent > 0}
        for crowd in crowds(window, _wanted):
            looks = [seen[tid] for tid in crowd.tids if tid in seen]
            held = [link for one in looks for link in one.held]
            # Who waits at the other end in this process, too, is told by the side that wrote.
            if held and not all(link.peer_inode in ours for link in held):
                yield _one(window, crowd, held, sum(one.looks for one in looks))


def _looks(window: Window) -> dict[int, _Seen]:
    found: dict[int, _Seen] = defaultdict(_Seen)
    reports = window.history.relations.reports(Links, window.start_ns, window.end_ns)
    ends = [r.at_ns for r in reports[1:]] + [window.end_ns] * bool(reports)
    for report, until in zip(reports, ends, strict=True):
        looks = 1 + max(0, until - max(report.at_ns, window.start_ns)) // _LOOK_NS
        for link in report.links:
            if link.kind == "tcp" and link.reads:
                for tid in link.waiters:
                    found[tid].looks += looks
                    found[tid].held += [link] * looks if _held(link) else []
    return found


def _held(link: Link) -> bool:
    """Nothing that could be read is there, and something is held back on its way."""
    here = 0 < link.unsent <= MAX_HELD and link.peer_received <= 0
    there = 0 < link.peer_unsent <= MAX_HELD and link.received <= 0
    return here or there


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    wait, leaf = profile.wait, profile.stack.user_leaf
    if leaf is None or wait.peer is None or wait.peer.kind not in ("tcp", "tcp6") or wait.syscall not in _READS:
        return None
    if profile.state not in (State.IO, State.IDLE):
        return None
    return f"{leaf.file}:{leaf.line}", wait.peer.name


def _one(window: Window, crowd: Crowd, held: list[Link], looks: int) -> Observation:
    per: dict[int, int] = defaultdict(int)
    for thread, slice_ in crowd.waits:
        per[thread.tid] += slice_.ns
    span = max(1, window.end_ns - window.start_ns)
    longest = max(per.values()) / span
    part = len(held) / max(looks, len(held))
    value = longest * part
    own = sum(link.unsent > 0 for link in held)
    whose = "this process" if own >= len(held) / 2 else "the other side"
    some = held[-1]
    remote = some.remote or crowd.name
    return Observation(
        subject=crowd.key,
        value=value,
        lower=value * (1 - 1 / (1 + len(held))),
        samples=crowd.samples,
        episodes=crowd.episodes,
        confidence=Confidence.EXACT,
        label=remote,
        title=f"{crowd.at_once('waits', 'wait')} for data that the kernel holds back",
        summary=(
            f"{crowd.who} {waits(len(crowd.tids))} for data from {remote} in {crowd.spot}, "
            f"{_each(window, crowd, per)}while {max(some.unsent, some.peer_unsent)} bytes that {whose} has written are "
            f"held back: seen in {len(held)} of {looks} looks. A second small write waits until the first one is "
            f"acknowledged, and the side that would answer waits for it."
        ),
        gain=(
            f"Up to {percent(min(0.99, value))} of the time of these threads: 40 ms of every request are spent so, if "
            "each is made of two small writes."
        ),
        check_next=(
            "Which two calls write one request here? One sendall of both, or TCP_NODELAY."
            if whose == "this process"
            else "Does the other side write its answer in two pieces? One write there, or TCP_NODELAY there."
        ),
        where=evidence.places(crowd.stack),
        threads=tuple(crowd.tids),
        stacks=crowd.evidence(),
        needs="" if len(held) >= MIN_LOOKS else f"{MIN_LOOKS} looks that see it (has {len(held)})",
    )


def _each(window: Window, crowd: Crowd, waited: dict[int, int]) -> str:
    """How long one wait lasts, by how often the kernel says that the thread went to sleep."""
    tid = crowd.tids[0]
    thread = window.thread(tid)
    times = sum(b.voluntary for b in thread.buckets if b.voluntary > 0) if thread is not None else 0
    return f"{duration(waited[tid] / times / 1e9)} each time, " if times else ""


RULE = WriteWriteRead()
