"""Queue.join, and a consumer that forgets task_done."""

import queue
import signal
import threading
import time

EXPECT = "named queue-dead-end"
signal.alarm(600)


class Exporter:
    def __init__(self):
        self.rows = queue.Queue()
        self.threads = [threading.Thread(target=self._pump, daemon=True) for _ in range(3)]
        for t in self.threads:
            t.start()

    def _pump(self):
        while True:
            row = self.rows.get()
            if row % 10 == 0:
                continue
            time.sleep(0.001)
            self.rows.task_done()

    def flush(self):
        self.rows.join()


e = Exporter()
for i in range(200):
    e.rows.put(i)
time.sleep(1.5)
print("ready", flush=True)
e.flush()
