"""The verdict on a core file: one moment says who can never go on, not whether the others get on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from concview.model import Confidence, Finding, Target
from concview.snapshot import AioView, Blame

#: The verdict where nothing in the moment itself is wrong.
MOMENT = "moment"
STUCK = "stuck"


def judged(blame: Blame | None, findings: Sequence[Finding], target: Target) -> Blame | None:
    """The same with what can be said of a moment. Shares of time are shares of the threads in it."""
    if blame is None:
        return None
    lacks = f" It lacks {target.core_lacks}: what these wait for may be missing." if target.core_lacks else ""
    if findings:
        top = findings[0]
        stuck = "Stuck" if top.confidence is Confidence.EXACT else "Stuck, as far as can be concluded"
        return msgspec.structs.replace(
            blame, verdict=STUCK, severity=top.severity, sentence=f"{stuck}: {top.title}.{lacks}", still_s=0.0, more=()
        )
    return msgspec.structs.replace(
        blame,
        verdict=MOMENT,
        severity=None,
        still_s=0.0,
        more=(),
        sentence=f"Nobody waits in a circle in this moment; whether threads get on, a core file does not tell.{lacks}",
    )


def timeless(aio: AioView | None) -> AioView | None:
    """The same without lengths of time and rates, which one moment does not have."""
    if aio is None:
        return None
    replace = msgspec.structs.replace
    nothing = {"callbacks_per_s": None, "busy": None, "p50_s": None, "p95_s": None, "max_s": None, "late_s": None}
    return replace(
        aio,
        tasks=tuple(replace(t, age_s=0.0, since_s=0.0, since_open=False, due_s=None) for t in aio.tasks),
        groups=tuple(replace(g, longest_s=0.0) for g in aio.groups),
        loops=tuple(replace(loop, top_share=0.0, **nothing) for loop in aio.loops),
        born_per_s=None,
        ended_per_s=0.0,
    )
