"""A pool of processes with nothing to do; to be watched: the one whose turn it is to read. Healthy."""

import multiprocessing
import time

EXPECT = "quiet"


def double(number: int) -> int:
    return 2 * number


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map(double, range(9))
        time.sleep(0.5)
        print("watch", multiprocessing.active_children()[0].pid, flush=True)
        print("ready", flush=True)
        time.sleep(600)
