"""gevent's pool of threads, three calls a second."""

from __future__ import annotations

import time

NEEDS = ("gevent",)

if __name__ == "__main__":
    import gevent

    pool = gevent.get_hub().threadpool
    print("ready", flush=True)
    while True:
        pool.apply(time.sleep, (0.01,))
        gevent.sleep(0.3)
