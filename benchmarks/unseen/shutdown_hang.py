"""The main program has ended, and a thread waits at a queue."""

import queue
import threading
import time
import _go

EXPECT = "says has ended"
outbox = queue.Queue()


def mailer():
    while True:
        m = outbox.get()
        time.sleep(0.01)


threading.Thread(target=mailer, name="mailer").start()


def main():
    for i in range(10):
        outbox.put(i)


_go.ready()
time.sleep(0.2)
main()
