"""`with a, b:` on one line and over several."""

import threading

A, B = threading.Lock(), threading.Lock()


def one_line(log):
    while log.on:
        log.asks(A)
        log.asks(B)
        with A, B:
            log.has(A)
            log.has(B)
            log.pause()
            log.leaves(B)
            log.leaves(A)
        log.left(B)
        log.left(A)
        log.rest()


def several_lines(log):
    while log.on:
        log.asks(A)
        log.asks(B)
        with A, B:
            log.has(A)
            log.has(B)
            log.pause()
            log.leaves(B)
            log.leaves(A)
        log.left(B)
        log.left(A)
        log.rest()


def start(log):
    log.thread(one_line, log)
    log.thread(several_lines, log)
