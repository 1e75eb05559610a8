"""The GIL and a lock of a C library, taken in opposite order.

Two threads use a library written in C that has a mutex. One of them is called back by it, and comes into Python with
the mutex. Here the C library's own mutex stands for it.

bad:   the other one takes the mutex without letting go of the GIL: each has what the other needs, and with the GIL
       everything in the process stands.
fixed: it lets go of the GIL before it waits.

Look at: who holds the GIL, and what that thread waits for. No thread of the program runs again.
"""

from __future__ import annotations

import ctypes
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "gil-deadlock"
GROUP = "GIL and scheduler"

#: Functions of the first are called without the GIL, those of the second with it.
without_gil, with_gil = ctypes.CDLL(None), ctypes.PyDLL(None)
#: Bytes of a pthread_mutex_t, rounded up; zeros are an unlocked one.
mutex = ctypes.create_string_buffer(64)


def called_back(pause: float) -> None:
    while True:
        without_gil.pthread_mutex_lock(mutex)
        time.sleep(pause)  # Python: it needs the GIL to go on
        without_gil.pthread_mutex_unlock(mutex)
        time.sleep(0.01)


def call(library: ctypes.CDLL) -> None:
    time.sleep(0.5)
    while True:
        library.pthread_mutex_lock(mutex)
        without_gil.pthread_mutex_unlock(mutex)
        time.sleep(0.01)


def bad() -> None:
    start("callback", called_back, 1.0)
    start("caller", call, with_gil)


def fixed() -> None:
    start("callback", called_back, 0.01)
    start("caller", call, without_gil)


if __name__ == "__main__":
    perform(bad, fixed, deaf=True)
