"""A C library's FILE: one thread waits in fgets(stdin), others in functions of the same FILE (glibc locks it)."""

import ctypes
import os
import threading
import time

import _go


EXPECT = "held up: native lock or stuck or still"
r, w = os.pipe()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.fdopen.argtypes = ctypes.c_int, ctypes.c_char_p
libc.fgets.argtypes = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
libc.feof.argtypes = [ctypes.c_void_p]
f = libc.fdopen(r, b"r")


def reader():
    libc.fgets(ctypes.create_string_buffer(100), 100, f)


def watcher():
    while True:
        libc.feof(f)


threading.Thread(target=reader, name="reader", daemon=True).start()
time.sleep(0.5)
for n in range(2):
    threading.Thread(target=watcher, name=f"watcher-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
