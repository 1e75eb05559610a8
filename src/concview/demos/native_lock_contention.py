"""One object of a C library for all threads.

Four workers use a library written in C, which guards each of its objects with a mutex of its own; each call takes
50 ms. Here the C library's own mutexes and pauses stand for it.

bad:   they share one object; three workers wait in C.
fixed: each has an object of its own.

Look at: the threads that wait inside a library without a lock of Python's, and the one that has the mutex.
"""

from __future__ import annotations

import ctypes
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "native-lock-contention"
GROUP = "Locks"

#: Its functions are called without the GIL.
library = ctypes.CDLL(None)
#: Bytes of a pthread_mutex_t, rounded up; zeros are an unlocked one.
MUTEX_SIZE = 64


def make() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(MUTEX_SIZE)


def call(item: ctypes.Array[ctypes.c_char]) -> None:
    library.pthread_mutex_lock(item)
    library.usleep(50_000)
    library.pthread_mutex_unlock(item)


def work(item: ctypes.Array[ctypes.c_char]) -> None:
    while True:
        call(item)
        time.sleep(0.001)


def bad() -> None:
    shared = make()
    for number in range(4):
        start(f"report-{number}", work, shared)


def fixed() -> None:
    for number in range(4):
        start(f"report-{number}", work, make())


if __name__ == "__main__":
    perform(bad, fixed)
