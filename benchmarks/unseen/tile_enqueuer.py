"""An enqueuer that has died: renderers and the main program wait at empty queues."""

import queue
import threading
import _go

EXPECT = "says can go on"
tiles = queue.Queue(10)
results = queue.Queue()


def enqueue(zooms):
    for z in zooms:
        assert z >= 0, "bad zoom"
        tiles.put(z)


def render():
    while True:
        z = tiles.get()
        results.put(("png", z))
        tiles.task_done()


threading.excepthook = lambda a: None
threading.Thread(target=enqueue, args=([1, 2, 3, -1, 4, 5],), name="enqueuer").start()
for i in range(3):
    threading.Thread(target=render, name="render-%d" % i, daemon=True).start()
_go.ready()
done = [results.get() for _ in range(6)]
