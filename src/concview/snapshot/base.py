"""What all parts of a snapshot share."""

from __future__ import annotations

from enum import StrEnum

import msgspec

Shares = tuple[float, float, float, float, float, float, float, float]
NO_SHARES: Shares = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Status(StrEnum):
    WAITING = "waiting"  #: nothing has arrived yet
    LIVE = "live"
    REPLAY = "replay"
    STOPPED = "stopped"  #: the target is stopped (SIGSTOP, a debugger)
    EXITED = "exited"  #: the target exited, or became another program; `ending` says which
    LOST = "lost"  #: the collector ended or the recording breaks off
    FINISHED = "finished"  #: the recording is at its end


class View(msgspec.Struct, frozen=True):
    """Base of the parts."""
