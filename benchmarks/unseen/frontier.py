"""A full queue whose only readers wait for room in it."""

import queue
import signal
import threading
import time

EXPECT = "named queue-dead-end"
signal.alarm(600)
frontier = queue.Queue(maxsize=50)
seen = set()


def links(url):
    return [url * 3 % 100003, url * 5 % 100003, url * 7 % 100003]


def fetcher():
    while True:
        url = frontier.get()
        time.sleep(0.002)
        for nxt in links(url):
            if nxt not in seen:
                seen.add(nxt)
                frontier.put(nxt)
        frontier.task_done()


for i in range(4):
    threading.Thread(target=fetcher, name=f"fetch{i}", daemon=True).start()
frontier.put(1)
time.sleep(2)
print("ready", flush=True)
frontier.join()
