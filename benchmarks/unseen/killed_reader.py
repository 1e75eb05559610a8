"""A worker was killed while it read from a multiprocessing.Queue: the others wait for its lock (pytorch/pytorch#21554).

Looked at in one of the others alone it is the same as with a reader that waits for an item: only --tree can tell.
"""

import multiprocessing as mp
import os
import signal
import time

EXPECT = "stuck or still or says its turn at a queue"


def work(q):
    while True:
        q.get()


if __name__ == "__main__":
    signal.alarm(600)
    mp.set_start_method("fork")
    q = mp.Queue()
    ps = [mp.Process(target=work, args=(q,), daemon=True) for _ in range(3)]
    for p in ps:
        p.start()
        time.sleep(0.5)
    os.kill(ps[0].pid, signal.SIGKILL)
    time.sleep(0.5)
    q.put(1)
    time.sleep(0.5)
    signal.signal(signal.SIGTERM, lambda *_: ([p.kill() for p in ps], os._exit(0)))
    print("watch", ps[1].pid, flush=True)
    print("ready", flush=True)
    time.sleep(600)
