"""Tab 5: what the threads wait for outside the process, by peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment

from concview import text
from concview.model import Peer, State
from concview.session.phrases import lasting
from concview.snapshot import PeerView, Snapshot
from concview.tui.text_render import Line, fit, fit_place
from concview.tui.theme import Palette, palette_of
from concview.tui.views._tasks_elsewhere import PEERS, tasks_elsewhere
from concview.tui.views.base import TableView, ViewSpec
from concview.tui.widgets.columns import Column, number_cell, text_cell
from concview.tui.widgets.names import names_of
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import place


def peer_key(peer: Peer) -> tuple[str, str, str]:
    return (peer.kind, peer.name, peer.local)


def _waiters(row: PeerView, width: int, palette: Palette, context: Any) -> Line:
    style = palette.states[State.IO] if row.waiters_now else palette.faint
    return [Segment(fit(str(row.waiters_now), width, right=True), style)]


def _bar(row: PeerView, width: int, palette: Palette, context: Any) -> Line:
    filled = min(width, round(row.share / max(context or 1.0, 1e-9) * width))
    return [Segment("█" * filled, palette.states[State.IO]), Segment("·" * (width - filled), palette.faint)]


COLUMNS = (
    Column(
        "peer",
        "WAITS FOR",
        26,
        text_cell(lambda p: p.peer.name, "bright"),
        most=70,
        sort=lambda p: p.peer.name,
        down=False,
    ),
    Column("kind", "KIND", 8, text_cell(lambda p: p.peer.kind, "dim"), sort=lambda p: p.peer.kind, down=False),
    Column("share", "WAITERS", 9, number_cell(lambda p: f"{p.share:.2f}"), right=True, sort=lambda p: p.share),
    Column("now", "NOW", 4, _waiters, right=True, sort=lambda p: p.waiters_now),
    Column(
        "threads",
        "SEEN",
        5,
        number_cell(lambda p: str(len(p.threads))),
        drop=1,
        right=True,
        sort=lambda p: len(p.threads),
    ),
    Column("status", "STATUS", 12, text_cell(lambda p: p.peer.status, "dim"), drop=2),
    Column("bar", "", 12, _bar, most=40, drop=3),
)


class Peers(TableView):
    DEFAULT_CSS = "Peers #detail { border-top: solid $panel; }"

    def table(self) -> Table:
        return Table(
            COLUMNS,
            lambda p: peer_key(p.peer),
            sort="share",
            id="list",
            haystack=lambda p: f"{p.peer.name} {p.peer.kind} {p.peer.status} {p.peer.local}".lower(),
            empty="no thread waited for a socket, pipe or file",
        )

    def elsewhere(self, snapshot: Snapshot) -> str:
        return tasks_elsewhere(snapshot, PEERS)

    def rows(self, snapshot: Snapshot) -> Sequence[PeerView]:
        return snapshot.peers

    def context(self, snapshot: Snapshot) -> Any:
        return max((p.share for p in snapshot.peers), default=1.0)

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        if row is None:
            return None
        peer: PeerView = row
        palette = palette_of(self)
        local = f" from {peer.peer.local}" if peer.peer.local else ""
        lines: list[Line] = [
            [
                Segment(fit(peer.peer.name, min(width, len(peer.peer.name) + 1)), palette.bright),
                Segment(f"{peer.peer.kind}{local} {peer.peer.status}", palette.dim),
            ],
            [Segment(f"on average {peer.share:.2f} threads wait for it; now {peer.waiters_now}", palette.base)],
            [],
            [Segment("Threads that waited for it", palette.title)],
        ]
        names = names_of(snapshot)
        for thread in [t for t in map(snapshot.thread, peer.threads) if t is not None][:40]:
            here = thread.wait.peer is not None and peer_key(thread.wait.peer) == peer_key(peer.peer)
            lines.append(
                [
                    Segment("  ≈ " if here else "    ", palette.states[State.IO]),
                    Segment(names.fit(thread.tid, thread.name, 22), palette.base),
                    Segment(fit(lasting(thread) if here else "", 10, right=True), palette.bright),
                    Segment(fit(f"  {text.percent(thread.shares[State.IO])} in I/O", 16), palette.dim),
                    Segment(fit_place(f"now in {place(thread)}", max(0, width - 52)).rstrip(), palette.dim),
                ]
            )
        return lines

    def on_table_opened(self, event: Table.Opened) -> None:
        event.stop()
        if event.row.threads:
            self.post_message(self.Goto("thread", event.row.threads[0]))

    def selection(self) -> str:
        row = self.grid.current
        if not isinstance(row, PeerView):
            return ""
        return f"{row.peer.kind} {row.peer.name} {row.peer.status}: {row.share:.2f} threads waiting on average"


VIEW = ViewSpec("peers", 5, "I/O", Peers)
