"""multiprocessing.Pool.imap is fed by a generator that waits for what is given back after a result."""

import multiprocessing as mp
import threading
import _go

EXPECT = "stuck"
room = threading.Semaphore(4)


def frames():
    for n in range(1000):
        room.acquire()
        yield n


def encode(n):
    return n * n


if __name__ == "__main__":
    _go.ready(3)
    with mp.get_context("fork").Pool(2) as pool:
        for r in pool.imap(encode, frames(), chunksize=8):
            room.release()
