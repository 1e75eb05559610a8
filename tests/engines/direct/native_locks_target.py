"""Threads that wait for locks in C of every kind that tells its owner, and one that waits for none."""

import ctypes
import json
import mmap
import os
import threading
import time

from settled import settled

libc = ctypes.CDLL(None)


def attributes(kind, kinds=(), size=16):
    made = ctypes.create_string_buffer(size)
    getattr(libc, f"pthread_{kind}attr_init")(made)
    for name, value in kinds:
        assert getattr(libc, f"pthread_{kind}attr_set{name}")(made, value) == 0
    return made


def mutex(*kinds, place=None):
    made = place if place is not None else ctypes.create_string_buffer(40)
    assert libc.pthread_mutex_init(made, attributes("mutex", kinds)) == 0
    return made


SHARED = (ctypes.c_char * 40).from_buffer(mmap.mmap(-1, 4096))
#: name -> (the lock, how it is taken)
LOCKS = {
    "plain": (mutex(), libc.pthread_mutex_lock),
    "recursive": (mutex(("type", 1)), libc.pthread_mutex_lock),
    "checked": (mutex(("type", 2)), libc.pthread_mutex_lock),
    "robust": (mutex(("robust", 1)), libc.pthread_mutex_lock),
    "inherits": (mutex(("protocol", 1)), libc.pthread_mutex_lock),
    "shared": (mutex(("pshared", 1), place=SHARED), libc.pthread_mutex_lock),
    "written": (ctypes.create_string_buffer(56), libc.pthread_rwlock_wrlock),
    "lost": (mutex(), libc.pthread_mutex_lock),
}
libc.pthread_rwlock_init(LOCKS["written"][0], None)
condition, its_mutex = ctypes.create_string_buffer(48), mutex()
tids, there = {}, threading.Semaphore(0)


def note(name):
    tids[name] = threading.get_native_id()
    there.release()


def has(name):
    lock, take = LOCKS[name]
    assert take(lock) == 0
    note("has " + name)
    time.sleep(1000)


def wants(name):
    note("wants " + name)
    lock, take = LOCKS[name]
    take(lock)


def wants_to_read():
    note("wants to read")
    libc.pthread_rwlock_rdlock(LOCKS["written"][0])


def ends_with_it():
    assert libc.pthread_mutex_lock(LOCKS["lost"][0]) == 0
    note("has lost")


def waits_for_none():
    libc.pthread_mutex_lock(its_mutex)
    note("wants none")
    libc.pthread_cond_wait(condition, its_mutex)


libc.tmpfile.restype = ctypes.c_void_p
libc.flockfile.argtypes = [ctypes.c_void_p]
stream = libc.tmpfile()
buffered = os.fdopen(os.pipe()[1], "wb")


def has_stream():
    libc.flockfile(stream)
    note("has stream")
    time.sleep(1000)


def wants_stream():
    note("wants stream")
    libc.flockfile(stream)


def has_buffered():
    note("has buffered")
    buffered.write(bytes(1 << 20))  # more than a pipe takes, and nobody reads


def wants_buffered(name="wants buffered"):
    note(name)
    while True:
        buffered.write(b"x")
        time.sleep(0.01)


def start(work, *args):
    threading.Thread(target=work, args=args, daemon=True).start()
    there.acquire()


if os.fork() == 0:
    assert libc.pthread_mutex_lock(SHARED) == 0
    time.sleep(1000)
while not int.from_bytes(SHARED[:4], "little"):
    time.sleep(0.01)
tids["has shared"] = int.from_bytes(SHARED[8:12], "little")
for name in LOCKS:
    if name == "lost":
        start(ends_with_it)
    elif name != "shared":
        start(has, name)
start(has_stream)
start(has_buffered)
settled()
for name in LOCKS:
    start(wants, name)
start(wants_stream)
start(wants_buffered)
start(wants_buffered, "wants buffered, too")
start(wants_to_read)
start(waits_for_none)
print("ready", flush=True)
print(json.dumps(tids), flush=True)
time.sleep(1000)
