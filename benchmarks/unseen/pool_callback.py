"""A callback of multiprocessing.Pool that waits for the pool."""

import multiprocessing as mp
import _go

EXPECT = "stuck"


def sq(x):
    return x * x


def chain(v):
    print(pool.apply(sq, (v,)))


if __name__ == "__main__":
    pool = mp.get_context("fork").Pool(2)
    _go.ready()
    pool.apply_async(sq, (3,), callback=chain)
    r = pool.apply_async(sq, (4,))
    print(r.get())
