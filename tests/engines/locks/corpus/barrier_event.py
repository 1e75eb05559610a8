"""Waits that are for no lock: a Barrier, an Event, a join."""

import threading
import time

BARRIER = threading.Barrier(2)
EVENT = threading.Event()


def meet(log):
    while log.on:
        log.rest()
        log.waits(BARRIER, "Barrier.wait")
        try:
            BARRIER.wait(0.5)
        except threading.BrokenBarrierError:
            break
        log.done(BARRIER)


def wait(log):
    while log.on:
        log.waits(EVENT, "Event.wait")
        EVENT.wait(0.1)
        log.done(EVENT)


def join(log):
    while log.on:
        thread = threading.Thread(target=time.sleep, args=(0.03,))
        thread.start()
        log.waits(thread, "Thread.join")
        thread.join()
        log.done(thread)


def start(log):
    log.thread(meet, log)
    log.thread(meet, log)
    log.thread(wait, log)
    log.thread(join, log)
