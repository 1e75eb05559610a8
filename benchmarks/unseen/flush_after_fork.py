"""A background flusher is lost at fork: the child waits for its queue to be flushed (sentry and opentelemetry exporters)."""

import os
import queue
import signal
import threading
import time

EXPECT = "stuck"


class Exporter:
    def __init__(self):
        self.q = queue.Queue()
        threading.Thread(target=self.run, daemon=True, name="flusher").start()

    def run(self):
        while True:
            self.q.get()
            self.q.task_done()

    def export(self, x):
        self.q.put(x)

    def flush(self):
        self.q.join()


e = Exporter()
e.export(1)
e.flush()
pid = os.fork()
if pid == 0:
    signal.alarm(600)
    e.export("span")
    e.flush()
    os._exit(0)
time.sleep(1)
print("watch", pid, flush=True)
print("ready", flush=True)
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))
os.waitpid(pid, 0)
