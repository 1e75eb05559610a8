"""A program in which threads wait for every kind of object, and others have to do with them in every way.

Prints the tids by name, and the addresses of the objects as the program itself knows them.
"""

import contextlib
import json
import queue
import threading
import time

from settled import settled

LONG = 1000
sem = threading.BoundedSemaphore(1)
ready = threading.Event()
full = queue.Queue(1)
full.put(1)
meeting = threading.Barrier(3)


class Pool:
    def __init__(self):
        self._cond = threading.Condition()
        self._free = ["connection"]

    def get(self):
        with self._cond:
            while not self._free:
                self._cond.wait()
            return self._free.pop()

    def put(self, connection):
        with self._cond:
            self._free.append(connection)
            self._cond.notify()


class Lending(Pool):
    @contextlib.contextmanager
    def connection(self):
        connection = self.get()
        try:
            yield connection
        finally:
            self.put(connection)


class Slotted:
    __slots__ = ("event",)

    def __init__(self, event):
        self.event = event

    def starts(self):
        time.sleep(LONG)
        self.event.set()


class App:
    def __init__(self):
        self.pool = Pool()


app, lending, once = App(), Lending(), threading.Event()


def holder():
    sem.acquire()
    try:
        time.sleep(LONG)
    finally:
        sem.release()


def permit():
    with sem:
        pass


def lender(pool):
    connection = pool.get()
    time.sleep(LONG)
    pool.put(connection)


def borrower(application):
    application.pool.get()


def user():
    # fmt: off
    with lending.connection(): time.sleep(LONG)  # noqa: E701 - waiting and having on one line
    # fmt: on


def elsewhere():
    time.sleep(LONG)


def closed():
    event = once

    def listens():
        event.wait()

    return listens


def producer(q):
    q.put(2)


def consumer():
    while True:
        time.sleep(LONG)
        full.get()


def meets():
    meeting.wait()


threads = {}


def start(name, function, *arguments):
    threads[name] = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    threads[name].start()


start("holder", holder)
start("lender", lender, app.pool)
start("user-0", user)
start("slotted", Slotted(once).starts)
start("elsewhere", elsewhere)
settled()
start("permit", permit)
start("borrower", borrower, app)
start("user-1", user)
start("closed", closed())
start("producer", producer, full)
start("consumer", consumer)
start("meets", meets)
print("ready")
ids = {"sem": id(sem), "cond": id(app.pool._cond), "pool": id(app.pool), "lent": id(lending._cond), "once": id(once)}
ids.update({"full": id(full), "meeting": id(meeting)})
print(json.dumps([{n: t.native_id for n, t in threads.items()}, ids]), flush=True)
time.sleep(LONG)
