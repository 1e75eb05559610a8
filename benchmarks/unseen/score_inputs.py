"""ThreadPoolExecutor: tasks take from a queue that the caller fills after result()."""

import queue
import threading
import _go
from concurrent.futures import ThreadPoolExecutor

EXPECT = "stuck"
inputs = queue.Queue()


def score(n):
    return n * inputs.get()


def main():
    with ThreadPoolExecutor(3) as ex:
        for r in ex.map(score, range(3)):
            inputs.put(r)


_go.ready(3)
main()
