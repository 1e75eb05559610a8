"""Which counts of a recording an exporter of calls takes."""

from __future__ import annotations

from collections.abc import Iterable

from concview.exporters.base import Nothing
from concview.model import AnyEvent, Calls, Hello, Target

ENABLE = "concview record PID -o FILE --agent --yes --calls wall"


def last_account(events: Iterable[AnyEvent]) -> tuple[Calls, Target | None]:
    """The last window of counted calls that was closed in the recording, and whose it was. Nothing without one."""
    found: Calls | None = None
    target: Target | None = None
    begun = untimed = False
    for event in events:
        if isinstance(event, Hello):
            target = event.target
        elif isinstance(event, Calls):
            begun = True
            if not event.running and event.clock == "none":
                untimed = True
            elif not event.running:
                found = event
    if found is not None:
        return found, target
    if untimed:
        raise Nothing("the calls of this recording were counted without times (sys.monitoring)", ENABLE)
    if begun:
        raise Nothing("the recording ends before its window of counted calls does", ENABLE)
    raise Nothing("no calls were counted in this recording", ENABLE)
