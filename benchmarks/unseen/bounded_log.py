"""Log records into a full queue, whose listener has died."""

import logging
import logging.handlers
import queue
import threading
import time
import _go

EXPECT = "stuck by slow-logging"
q = queue.Queue(50)


class Blocking(logging.handlers.QueueHandler):
    def enqueue(self, record):
        self.queue.put(record)


class Bad(logging.Handler):
    def emit(self, record):
        raise SystemExit


lst = logging.handlers.QueueListener(q, Bad())
lst.start()
log = logging.getLogger("svc")
log.addHandler(Blocking(q))
log.setLevel(20)


def work():
    while True:
        log.info("step")
        time.sleep(0.005)


for i in range(5):
    threading.Thread(target=work, name="svc-%d" % i, daemon=True).start()
_go.ready(3)
time.sleep(1000)
