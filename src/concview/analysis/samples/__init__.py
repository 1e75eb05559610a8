"""The one source of samples: who did what from when to when, as a stream of resolved slices.

Exporters, reports and comparisons read this and nothing below it. A slice is one thread in one activity (stack,
state, wait, locks held) behind one blocker, merged over all samples that saw it so, and weighted by the time that
passed. Nothing is kept but what is going on now and the tables of what was named, so a recording of any length is read
in bounded memory; of counters only the process's own are decoded.

Times are nanoseconds of the stream's clock. What a sample sees is taken to be so since the sample before, as the
history of a session does.
"""

from __future__ import annotations

from concview.analysis.samples.reading import ProcessCounters, read
from concview.analysis.samples.selection import Selection
from concview.analysis.samples.several import Together
from concview.analysis.samples.stream import SIDES, Samples
from concview.analysis.samples.values import (
    Activity,
    Blocker,
    LockName,
    SampledSlice,
    SampledThread,
)
from concview.analysis.work import IN_NOBODYS_NAME, Doing

__all__ = [
    "IN_NOBODYS_NAME",
    "SIDES",
    "Activity",
    "Blocker",
    "Doing",
    "LockName",
    "ProcessCounters",
    "SampledSlice",
    "SampledThread",
    "Samples",
    "Selection",
    "Together",
    "read",
]
