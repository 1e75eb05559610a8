"""Tasks of a ThreadPoolExecutor that share a lock; the main thread waits for their futures."""

import threading
from concurrent.futures import ThreadPoolExecutor

LOCK = threading.Lock()


def task(log):
    log.asks(LOCK)
    with LOCK:
        log.has(LOCK)
        log.pause()
        log.leaves(LOCK)
    log.left(LOCK)


def work(log):
    with ThreadPoolExecutor(3) as pool:
        while log.on:
            for future in [pool.submit(task, log) for _ in range(6)]:
                future.result()


def start(log):
    log.thread(work, log)
