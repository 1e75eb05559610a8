"""A lock of multiprocessing whose holder was killed; three threads of the parent wait for it."""

import multiprocessing
import os
import signal
import threading
import time

import _go

EXPECT = "stuck"


def child(lock):
    lock.acquire()
    time.sleep(1000)


def save(lock):
    with lock:
        pass


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    lock = context.Lock()
    process = context.Process(target=child, args=(lock,))
    process.start()
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for n in range(3):
        threading.Thread(target=save, args=(lock,), name=f"save-{n}", daemon=True).start()
    _go.ready()
    threading.Event().wait()
