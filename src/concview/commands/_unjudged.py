"""Why nothing can be said of what was watched: then `check` neither passes nor fails."""

from __future__ import annotations

from concview.session.moment import MOMENT
from concview.session.supervisor import WATCHES
from concview.snapshot import Snapshot
from concview.text import duration, percent, plural

#: Of all thread time: with more that could not be read, or that nothing explains, there is no verdict.
MOST_UNKNOWN = 0.5


def unjudged(snapshot: Snapshot) -> str:
    """'' where it was judged. Whatever was found is a verdict, but for who only watches others."""
    blame = snapshot.blame
    if blame is not None and blame.verdict == WATCHES and blame.severity is not None:
        return "what was looked at says nothing of the program"  # whatever may be a risk in it
    if snapshot.findings:
        return ""
    if not snapshot.samples or blame is None:
        why = f" ({snapshot.ending})" if snapshot.ending else ""
        return f"no thread's time was seen{why}"
    if blame.verdict == "unreadable":
        waits = snapshot.capabilities.get("waits")
        how = f" ({waits.enable or waits.why})" if waits is not None and not waits.available else ""
        return f"{percent(blame.unread)} of the thread time could not be read{how}"
    if blame.verdict == "few samples":
        return f"{plural(snapshot.samples, 'sample')} in {duration(snapshot.elapsed_s)}: too few"
    if blame.verdict == "tasks unseen":
        told = blame.sentence.removeprefix("No verdict on tasks: ")
        return f"its tasks were not read, and what its threads do is the lesser part of it: {told}"
    if blame.verdict == MOMENT:
        lacks = snapshot.target.core_lacks if snapshot.target is not None else ""
        return f"this core file lacks {lacks}" if lacks else ""
    if blame.unexplained >= MOST_UNKNOWN and blame.verdict != "early":
        return f"{percent(blame.unexplained)} of the thread time is unexplained: {blame.sentence}"
    return ""
