"""Log records go to a process through a bounded queue, and that process was killed."""

import logging
import logging.handlers
import multiprocessing as mp
import os
import signal
import threading
import time
import _go

EXPECT = "stuck"


def listen(q):
    while True:
        q.get()
        time.sleep(0.001)


if __name__ == "__main__":
    ctx = mp.get_context("fork")
    q = ctx.Queue(100)

    class Put(logging.handlers.QueueHandler):
        def enqueue(self, record):
            self.queue.put(record)

    p = ctx.Process(target=listen, args=(q,))
    p.start()
    log = logging.getLogger("svc")
    log.addHandler(Put(q))
    log.setLevel(logging.INFO)
    time.sleep(0.3)
    os.kill(p.pid, signal.SIGKILL)
    p.join()

    def work(n):
        while True:
            log.info("step %d", n)
            time.sleep(0.001)

    for n in range(6):
        threading.Thread(target=work, args=(n,), name=f"work-{n}", daemon=True).start()
    _go.ready(2)
    threading.Event().wait()
