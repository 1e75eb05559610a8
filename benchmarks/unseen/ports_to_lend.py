"""Two ports in a list, looked into every 20 ms under a lock, for eight jobs."""

import threading
import time

import _go

EXPECT = "held up: resource"


class Ports:
    def __init__(self):
        self.free = [9001, 9002]
        self.lock = threading.Lock()

    def take(self):
        while True:
            with self.lock:
                if self.free:
                    return self.free.pop()
            time.sleep(0.02)

    def give(self, port):
        with self.lock:
            self.free.append(port)


ports = Ports()


def job():
    while True:
        port = ports.take()
        try:
            time.sleep(0.3)
        finally:
            ports.give(port)


_go.ready()
for i in range(8):
    threading.Thread(target=job, name=f"job-{i}", daemon=True).start()
while True:
    time.sleep(1)
