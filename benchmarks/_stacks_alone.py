"""Memory reader alone, for sampling_cost.py: PID HZ SECONDS -> microseconds of CPU per sample and achieved Hz.

No wait states, no locks, no stream: the one system call, the comparison with the last copy, and the walk of the stacks
that changed.
"""

from __future__ import annotations

import sys
import time

from concview.cpython.memory import Memory
from concview.cpython.runtime import find, layout
from concview.engines.base import Tally
from concview.engines.direct.frames.strategy import readers
from concview.linux.namespaces import ThreadNumbers
from concview.process.discovery import describe
from concview.source.facts import SourceFacts


def main() -> None:
    pid, hz, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    memory = Memory(pid)
    runtime = find(memory)
    offsets = layout(memory, runtime)
    ids: dict[tuple[str, str, int], int] = {}

    def frame(function: str, file: str, line: int, native: bool = False) -> int:
        return ids.setdefault((function, file, line), len(ids) + 1)

    facts = SourceFacts(pid, describe(pid).started)
    sampler = readers(memory, runtime, offsets, frame, facts, ThreadNumbers(memory.pid), Tally()).sampler
    sampler.sample()
    samples, start, cpu = 0, time.monotonic(), time.process_time()
    due = start
    while (now := time.monotonic()) - start < seconds:
        if now < due:
            time.sleep(due - now)
        due = max(due + 1 / hz, now)
        for thread in sampler.sample():
            tuple(p.frame_id for p in thread.walk.places)
        samples += 1
    elapsed = time.monotonic() - start
    print((time.process_time() - cpu) / samples * 1e6, samples / elapsed)


if __name__ == "__main__":
    main()
