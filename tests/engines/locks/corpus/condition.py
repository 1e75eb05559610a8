"""A Condition: given up while it waits to be notified."""

import threading

CONDITION = threading.Condition()
ITEMS = []


def consume(log):
    while log.on:
        log.asks(CONDITION)
        with CONDITION:
            log.has(CONDITION)
            while log.on and not ITEMS:
                log.leaves(CONDITION)
                CONDITION.wait(0.2)
                log.has(CONDITION)
            log.pause()
            del ITEMS[:1]
            log.leaves(CONDITION)
        log.left(CONDITION)


def produce(log):
    while log.on:
        log.rest()
        log.asks(CONDITION)
        with CONDITION:
            log.has(CONDITION)
            ITEMS.append(1)
            CONDITION.notify()
            log.pause()
            log.leaves(CONDITION)
        log.left(CONDITION)


def start(log):
    log.thread(consume, log)
    log.thread(consume, log)
    log.thread(produce, log)
