"""Greenlets whose states are known: `greenlets.py gevent|eventlet`. The first part of a function's name is its state.
Prints 'missing', or JSON: for every second function its frames as greenlet itself tells them, innermost first (asking
for them also changes how they are linked)."""

import json
import sys

KIND = sys.argv[1]
MANY = 300


def with_gevent():
    import gevent.event
    import gevent.lock
    import gevent.pool
    import gevent.queue
    import gevent.socket

    semaphore, lock, event = gevent.lock.Semaphore(1), gevent.lock.RLock(), gevent.event.Event()
    queue, full, pool = gevent.queue.Queue(), gevent.queue.Queue(1), gevent.pool.Pool(1)
    full.put(1)
    one, other = gevent.socket.socketpair()
    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    made = {}

    def sleep__semaphore():
        with semaphore:
            gevent.sleep(100_000)

    def sleep__lock():
        with lock:
            gevent.sleep(100_000)

    def lock__semaphore():
        with semaphore:
            pass

    def lock__acquire():
        semaphore.acquire()

    def lock__lock():
        with lock:
            pass

    def lock__event():
        event.wait()

    def lock__never(event=event):
        gevent.event.AsyncResult().get()

    def queue__get():
        queue.get()

    def queue__put():
        full.put(2)

    def task__join():
        made["sleep__semaphore"].join()

    def task__all():
        gevent.joinall([made["sleep__semaphore"], made["sleep__lock"]])

    def io__recv():
        one.recv(10)

    def idle__accept():
        listener.accept()

    def executor__thread():
        import time

        gevent.get_hub().threadpool.apply(time.sleep, (100_000,))

    def pool__spawn():
        pool.spawn(gevent.sleep, 100_000)
        pool.spawn(gevent.sleep, 100_000)

    def sleep__deep(depth=50):
        if depth:
            sleep__deep(depth - 1)
        gevent.sleep(100_000)

    def sleep__generator():
        def steps():
            yield gevent.sleep(100_000)

        list(steps())

    functions = [f for name, f in list(locals().items()) if "__" in name]
    for function in functions:
        made[function.__name__] = gevent.spawn(function)
    for _ in range(MANY):
        gevent.spawn(gevent.sleep, 100_000)
    gevent.sleep(0.2)
    later = gevent.spawn_later(100_000, print)
    tell(made)
    gevent.joinall([later])
    return other


def with_eventlet():
    import eventlet
    import eventlet.event
    import eventlet.greenpool
    import eventlet.queue
    import eventlet.semaphore
    from eventlet.green import socket

    semaphore, event, queue = eventlet.semaphore.Semaphore(1), eventlet.event.Event(), eventlet.queue.Queue()
    pool = eventlet.greenpool.GreenPool(1)
    one, other = socket.socketpair()
    made = {}

    def sleep__semaphore():
        with semaphore:
            eventlet.sleep(100_000)

    def lock__semaphore():
        with semaphore:
            pass

    def lock__event():
        event.wait()

    def queue__get():
        queue.get()

    def task__join():
        made["sleep__semaphore"].wait()

    def io__recv():
        one.recv(10)

    def pool__spawn():
        pool.spawn(eventlet.sleep, 100_000)
        pool.spawn(eventlet.sleep, 100_000)

    functions = [f for name, f in list(locals().items()) if "__" in name]
    for function in functions:
        made[function.__name__] = eventlet.spawn(function)
    eventlet.sleep(0.2)
    tell(made)
    eventlet.sleep(100_000)
    return other


def tell(made):
    frames = {}
    for name in sorted(made)[::2]:
        frame, stack = made[name].gr_frame, []
        while frame is not None:
            stack.append((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back
        frames[name] = stack
    print(json.dumps(frames), flush=True)


try:
    globals()[f"with_{KIND}"]()
except ImportError:
    print("missing")
