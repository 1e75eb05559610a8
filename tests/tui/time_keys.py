"""What the keys of the pause do, for the test that presses every key of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import fake
from textual.pilot import Pilot
from time_fake import FIRST, LAST, KeptSession, S

Press = Callable[[], Awaitable[None]]
Check = Callable[[Pilot[Any], Press], Awaitable[None]]


async def paused(pilot: Pilot[Any], end_ns: int = LAST, session: KeptSession | None = None) -> Any:
    """The dashboard on a session that can look back, paused and looking at the 10 s up to that moment."""
    board: Any = pilot.app.screen
    board.session = session or KeptSession([fake.busy(20)])
    board.kept = board.session
    board.show_view("threads")
    await fake.until(pilot, lambda: board.view.ready and board.focused is not None)
    await pilot.press("space")
    if end_ns != LAST:
        board.choose(end_ns)
        await settled(pilot, board)
    return board


async def settled(pilot: Pilot[Any], board: Any) -> None:
    await fake.until(pilot, lambda: not board.moved or (board.shown.at_ns == board.back[0] and not board._looking))


def _moves(end_ns: int, expected_ns: int, length_s: int = 10) -> Check:
    async def check(pilot: Pilot[Any], press: Press) -> None:
        board = await paused(pilot, end_ns)
        await press()
        await settled(pilot, board)
        assert board.back == (expected_ns, length_s * S)
        assert board.shown.at_ns == expected_ns and board.session.asked[-1] == board.back
        assert len(board.view.grid.rows) == 11, "the view shows the threads of that moment"
        # Not paused, the same key is somebody else's, and time goes on.
        await pilot.press("space")
        assert board.back is None and board.shown is board.newest
        asked = len(board.session.asked)
        await press()
        assert board.back is None and len(board.session.asked) == asked

    return check


async def _baseline(pilot: Pilot[Any], press: Press) -> None:
    board: Any = pilot.app.screen
    await press()
    assert board.baseline.snapshot is board.shown
    board.session.advance()
    await fake.until(pilot, lambda: board.newest is board.session.pictures[1])
    await fake.drawn(pilot)
    said = "\n".join(board.view.as_text())
    assert "Against the baseline 12 s before" in said and "CHANGE" in said
    await press()
    assert board.baseline is None
    assert "baseline" not in "\n".join(board.view.as_text())


CHECKS: dict[str, Check] = {
    "earlier": _moves(LAST - 30 * S, LAST - 31 * S),
    "later": _moves(LAST - 30 * S, LAST - 29 * S),
    "much_earlier": _moves(LAST - 30 * S, LAST - 40 * S),
    "much_later": _moves(LAST - 30 * S, LAST - 20 * S),
    "oldest": _moves(LAST - 30 * S, FIRST + 10 * S),
    "newest": _moves(LAST - 30 * S, LAST),
    "shorter": _moves(LAST - 30 * S, LAST - 30 * S, 5),
    "longer": _moves(LAST - 30 * S, LAST - 30 * S, 20),
    "last_finding": _moves(FIRST + 60 * S, FIRST + 20 * S),
    "next_finding": _moves(FIRST + 60 * S, FIRST + 70 * S),
    "baseline": _baseline,
}
