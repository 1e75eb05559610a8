"""Threads that hold locks and wait for them in every way; prints what is true as JSON.

Each case names the locks it holds (label -> source of the `with` line, marked by a comment `HOLDS label`) and the
object it waits for.
"""

import contextlib
import functools
import json
import multiprocessing
import os
import queue
import sys
import threading
import time
from concurrent.futures import Future

from settled import settled

FOREVER = 100000
OBJECTS = {}
FIRST, SECOND = [], []


def named(label, thing):
    OBJECTS[label] = thing
    return thing


def holder(*labels):
    def mark(function):
        FIRST.append((function, labels, None, None))
        return function

    return mark


def waiter(label, via, *labels):
    def mark(function):
        SECOND.append((function, labels, label, via))
        return function

    return mark


def block():
    time.sleep(FOREVER)


LOCK = named("LOCK", threading.Lock())
RLOCK = named("RLOCK", threading.RLock())
CONDITION = threading.Condition()
named("CONDITION", CONDITION._lock)
PLAIN = threading.Condition(threading.Lock())
named("PLAIN", PLAIN._lock)
SEMAPHORE = named("SEMAPHORE", threading.Semaphore(1))
OUTER, INNER = named("OUTER", threading.Lock()), named("INNER", threading.Lock())
ONE, TWO = named("ONE", threading.Lock()), named("TWO", threading.Lock())
MANAGED = named("MANAGED", threading.Lock())
STACKED = named("STACKED", threading.Lock())
DEEP = named("DEEP", threading.Lock())
DECORATED = named("DECORATED", threading.Lock())
CUSTOM = named("CUSTOM", threading.Lock())
SHARED = named("SHARED", multiprocessing.get_context("fork").Lock())
RELEASED = named("RELEASED", threading.Lock())
FAILED = named("FAILED", threading.Lock())
TRACED = named("TRACED", threading.Lock())
FUTURE = named("FUTURE", Future())
EVENT = named("EVENT", threading.Event())
QUEUE = named("QUEUE", queue.Queue())
FULL = named("FULL", queue.Queue(1))
FULL.put(1)
SIMPLE = named("SIMPLE", queue.SimpleQueue())
BARRIER = named("BARRIER", threading.Barrier(2))
WAITED = named("WAITED", threading.Condition())
TIMED = named("TIMED", threading.Condition(threading.Lock()))
SPENT = named("SPENT", threading.Semaphore(0))


class Cache:
    def __init__(self):
        self._lock = named("self._lock", threading.Lock())

    def get(self):
        with self._lock:  # HOLDS self._lock
            block()


CACHE = Cache()


@holder("LOCK")
def with_lock():
    with LOCK:  # HOLDS LOCK
        block()


@holder("RLOCK")
def nested_rlock():
    with RLOCK:  # noqa: SIM117  # HOLDS RLOCK
        with RLOCK:
            block()


@holder("CONDITION")
def with_condition():
    with CONDITION:  # HOLDS CONDITION
        block()


@holder("SEMAPHORE")
def with_semaphore():
    with SEMAPHORE:  # HOLDS SEMAPHORE
        block()


@holder("self._lock")
def with_attribute():
    CACHE.get()


@holder("OUTER", "INNER")
def nested():
    with OUTER:  # HOLDS OUTER
        for _ in range(3):
            with INNER:  # HOLDS INNER
                block()


@holder("ONE", "TWO")
def two_at_once():
    with ONE, TWO:  # HOLDS ONE TWO
        block()


@contextlib.contextmanager
def locked(lock):
    with lock:
        yield


@holder("MANAGED")
def context_manager():
    with locked(MANAGED):  # HOLDS MANAGED
        block()


@holder("STACKED")
def exit_stack():
    with contextlib.ExitStack() as stack:  # HOLDS STACKED
        stack.enter_context(STACKED)
        block()


@holder("DEEP")
def deep_below_c():
    def f(n):
        if n:
            f(n - 1)
        else:
            sorted([1], key=lambda x: block())

    with DEEP:  # HOLDS DEEP
        f(300)


def synchronized(lock):
    def decorator(function):
        @functools.wraps(function)
        def wrapper():
            with lock:  # HOLDS DECORATED
                return function()

        return wrapper

    return decorator


@synchronized(DECORATED)
def _decorated():
    block()


@holder("DECORATED")
def decorated():
    _decorated()


class Guard:
    def __init__(self, lock):
        self.lock = lock

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *args):
        self.lock.release()


@holder("CUSTOM")
def custom_manager():
    with Guard(CUSTOM):  # HOLDS CUSTOM
        block()


@holder("SHARED")
def multiprocessing_lock():
    with SHARED:  # HOLDS SHARED
        block()


@holder()
def released():
    for _ in range(3):
        with RELEASED:
            pass
    block()


@holder()
def released_by_exception():
    try:
        with FAILED:
            raise ValueError
    except ValueError:
        block()


@holder()
def no_lock():
    with open(os.devnull), contextlib.suppress(ValueError):
        block()


@holder("TRACED")
def traced():
    sys.settrace(lambda frame, event, argument: lambda *a: None)
    _traced()


def _traced():
    with TRACED:  # HOLDS TRACED
        block()


@waiter("LOCK", "")
def wait_with():
    with LOCK:
        pass


@waiter("LOCK", "", "WAITING")
def wait_acquire():
    with WAITING:  # HOLDS WAITING
        LOCK.acquire()


WAITING = named("WAITING", threading.Lock())


@waiter("LOCK", "")
def wait_timeout():
    LOCK.acquire(timeout=FOREVER)


@waiter("RLOCK", "")
def wait_rlock():
    with RLOCK:
        pass


@waiter("CONDITION", "")
def wait_for_a_condition_s_lock():
    with CONDITION:
        pass


@waiter("self._lock", "")
def wait_attribute():
    CACHE.get()


@waiter("MANAGED", "")
def wait_in_a_context_manager():
    with locked(MANAGED):
        pass


@waiter("SEMAPHORE", "Semaphore.acquire")
def wait_semaphore():
    with SEMAPHORE:
        pass


@waiter("SPENT", "Semaphore.acquire")
def wait_spent():
    SPENT.acquire(timeout=FOREVER)


@waiter("WAITED", "Condition.wait")
def condition_wait():
    with WAITED:
        WAITED.wait()


@waiter("TIMED", "Condition.wait")
def condition_wait_timeout():
    with TIMED:
        TIMED.wait_for(lambda: False, FOREVER)


@waiter("EVENT", "Event.wait")
def event_wait():
    EVENT.wait()


@waiter("QUEUE", "Queue.get")
def queue_get():
    QUEUE.get()


@waiter("FULL", "Queue.put")
def queue_put():
    FULL.put(2)


@waiter("FULL", "Queue.join")
def queue_join():
    FULL.join()


@waiter("SIMPLE", "SimpleQueue.get")
def simple_queue_get():
    SIMPLE.get()


@waiter("BARRIER", "Barrier.wait")
def barrier():
    BARRIER.wait()


@waiter("FUTURE", "Future.result")
def future():
    FUTURE.result()


@waiter("THREAD", "Thread.join")
def join():
    OBJECTS["THREAD"].join()


@waiter("SHARED", "")
def wait_multiprocessing():
    with SHARED:
        pass


def main():
    truth = {}
    for cases in (FIRST, SECOND):
        for function, labels, waits, via in cases:
            thread = threading.Thread(target=function, name=function.__name__, daemon=True)
            if cases is FIRST and function is with_lock:
                named("THREAD", thread)
            thread.start()
            truth[function.__name__] = {"tid": thread.native_id, "holds": labels, "waits": waits, "via": via}
        settled()
    with open(__file__) as file:
        lines = {
            label: number
            for number, line in enumerate(file, 1)
            if "# HOLDS " in line
            for label in line.split("# HOLDS ")[1].split()
        }
    print("ready", flush=True)
    print(json.dumps({"cases": truth, "lines": lines, "ids": {k: id(v) for k, v in OBJECTS.items()}}), flush=True)
    time.sleep(FOREVER)


main()
