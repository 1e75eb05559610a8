"""Threads are made for little things and thrown away.

What it sees:
    Threads that are born at a high rate and live for less than a second.

Why it hurts:
    Making, starting and ending a thread costs about a tenth of a millisecond of CPU, and the starter waits until the
    new one runs. A pool hands the work over for a fraction of that.

How it is measured:
    Births a second times 114 µs [M: start and join of a thread, 3.11; `concview costs` measures it here], as a share
    of a core, when the median life of those that ended is below a second. Births are counted as they are seen; threads
    that live and die between two samples are missed, so this is the least it can be. Thresholds 0.3 % and 1.5 % [H]:
    on the demo pair 0.6 % to 0.9 % (bad, 300 threads a second of which 50 to 80 are seen at 100 Hz) and
    0 (fixed). The first second after attaching does not count.

Fix:
    A pool whose threads stay.

        pool = ThreadPoolExecutor(max_workers=4)
        pool.submit(handle, message)          # instead of Thread(target=handle).start()

When it is fine:
    A program that starts up, or a few threads a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import ClassVar

from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._births import births
from concview.model import Confidence, Frame
from concview.text import duration, percent

LIFE_S = 1.0


class ThreadChurn:
    id: ClassVar[str] = "thread-churn"
    title: ClassVar[str] = "Threads are made and thrown away"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.003, 0.015, "share of a core", "[M] 114 µs a thread; [H] the shares"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "CPU for starting threads"

    def observe(self, window: Window) -> Iterable[Observation]:
        found = births(window)
        if found is None:
            return
        born = found.threads
        lives = [(t.history.gone_ns - t.history.born_ns) / 1e9 for t in born if t.history.gone_ns]
        if len(lives) < 5 or median(lives) > LIFE_S:
            return
        rate = len(born) / found.seconds
        share = rate * window.costs["thread"]
        entries: Counter[Frame] = Counter(f for f in map(evidence.entry, born) if f is not None)
        target = entries.most_common(1)[0][0] if entries else None
        example = next((t for t in reversed(born) if target is not None and evidence.entry(t) == target), born[-1])
        stack = evidence.heaviest((p.run.stack, p.ns) for p in example.slices)
        yield Observation(
            subject="process",
            value=share,
            lower=share,
            samples=window.samples,
            episodes=len(born),
            confidence=Confidence.EXACT,
            summary=(
                f"{rate:.0f} threads a second are started and end after {duration(median(lives))} (median)"
                + (f"; most of them run {evidence.frame_spot(target)}" if target is not None else "")
                + f". Starting them takes at least {percent(share, 1)} of a core"
                f" ({duration(window.costs['thread'])} a thread, {window.costs.source})."
            ),
            gain=f"At least {percent(share, 1)} of a core, and the wait for each thread to start.",
            check_next="Who starts them? A pool in that place needs no other change.",
            where=evidence.places(stack),
            threads=tuple(t.tid for t in born[-10:]),
            stacks=evidence.shown("short-lived", example.tid, example.name, stack, f"one of {len(born)}"),
        )


RULE = ThreadChurn()
