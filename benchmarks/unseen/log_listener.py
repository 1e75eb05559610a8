"""logging: a bounded queue whose listener has a slow handler."""

import logging
import logging.handlers
import queue
import threading
import time

import _go

EXPECT = "named slow-logging or named unbounded-queue or waits or held up or stuck"


class Blocking(logging.handlers.QueueHandler):
    def enqueue(self, record):
        self.queue.put(record)


class Remote(logging.Handler):
    def emit(self, record):
        time.sleep(0.2)


q = queue.Queue(20)
log = logging.getLogger("x")
log.setLevel(10)
log.addHandler(Blocking(q))
log.propagate = False
listener = logging.handlers.QueueListener(q, Remote())
listener.start()


def web(n):
    while True:
        log.info("request %d", n)
        time.sleep(0.01)


for n in range(6):
    threading.Thread(target=web, args=(n,), name=f"web-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
