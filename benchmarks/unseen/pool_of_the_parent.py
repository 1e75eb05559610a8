"""A task of multiprocessing.Pool that uses the pool it inherited: in the child nobody serves it; the child is looked at."""

import multiprocessing as mp
import os
import signal
import time

EXPECT = "stuck"


def leaf(n):
    return n


def branch(n):
    return pool.apply(leaf, (n,))


if __name__ == "__main__":
    mp.set_start_method("fork")
    signal.alarm(600)
    pool = mp.Pool(2)  # the workers of the second inherit it, without the threads that serve it
    second = mp.Pool(2)
    workers = [*pool._pool, *second._pool]
    signal.signal(signal.SIGTERM, lambda *_: ([w.kill() for w in workers], os._exit(0)))
    r = [second.apply_async(branch, (n,)) for n in range(2)]
    time.sleep(2)
    print("watch", second._pool[0].pid, flush=True)
    print("ready", flush=True)
    r[0].get()
