"""Two threads multiply and sort NumPy arrays, which releases the GIL; another one writes what they found."""

from __future__ import annotations

import os
import queue
import time

from _stand import perform, start

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # two threads of ours are enough

NEEDS = ("numpy",)


def program() -> None:
    import numpy

    results: queue.Queue[float] = queue.Queue(100)

    def compute(seed: int) -> None:
        random = numpy.random.default_rng(seed)
        while True:
            array = random.random((300, 300))
            results.put(float(numpy.sort(array @ array, axis=0).sum()))
            time.sleep(0.02)

    def write() -> None:
        while True:
            results.get()

    for number in range(2):
        start(f"compute-{number}", compute, number)
    start("writer", write)


if __name__ == "__main__":
    perform(program)
