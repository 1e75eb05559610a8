"""Pieces added up: for formats that know no time line."""

from __future__ import annotations

from dataclasses import dataclass

from concview.analysis.samples import Activity, Blocker, SampledThread, Samples
from concview.exporters.base import Nothing


@dataclass(slots=True)
class Total:
    """What one thread spent in one activity behind one blocker."""

    thread: SampledThread
    activity: Activity
    blocker: Blocker | None
    ns: int = 0
    samples: int = 0


def totals(samples: Samples) -> list[Total]:
    """All of them, in the order in which they first ended. Nothing when there are none."""
    found: dict[tuple[SampledThread, Activity, Blocker | None], Total] = {}
    for pieces in samples:
        for thread, start, end, activity, blocker, seen in pieces:
            key = (thread, activity, blocker)
            total = found.get(key)
            if total is None:
                total = found[key] = Total(thread, activity, blocker)
            total.ns += end - start
            total.samples += seen
    if not found:
        raise nothing(samples)
    return list(found.values())


def nothing(samples: Samples) -> Nothing:
    """Why there is nothing to write."""
    if not samples.ticks and samples.whose == "task":
        return Nothing(
            "the recording holds no looks at tasks: the program has none of asyncio or trio, or they could not be read",
            "leave out --tasks",
        )
    if not samples.ticks:
        return Nothing("the recording holds no samples", "concview record PID -o FILE --duration 10")
    selection = samples.selection
    if selection.threads and not any(t.wanted for t in samples.threads):
        names = ", ".join(sorted({t.name for t in samples.threads})[:10])
        return Nothing(f"no {samples.whose} is called {' or '.join(selection.threads)}", f"{samples.whose}s: {names}")
    if selection.labels and not any(selection.takes_doing(d) for d in samples.doings):
        names = ", ".join(sorted({name for d in samples.doings for name in d if name})[:10])
        return Nothing(
            f"nothing was seen in the name of {' or '.join(selection.labels)}",
            f"names: {names}" if names else "the recording tells of none: record with --labels safe, the direct engine",
        )
    return Nothing(
        f"nothing was seen of what was chosen; the recording lasts {samples.seconds:.1f} s",
        "leave out --state, --threads, --label, --side, --from or --to",
    )
