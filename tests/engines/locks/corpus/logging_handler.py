"""logging: the handler's lock is held while a record is written. From 3.13 on it is taken by `with`."""

import logging
import sys

HOW = "with" if sys.version_info >= (3, 13) else "in a library"


class Slow(logging.Handler):
    log = None

    def emit(self, record):
        self.log.has(self.lock, HOW)
        self.log.pause()
        self.log.leaves(self.lock)


HANDLER = Slow()


def work(log):
    logger = logging.getLogger("corpus")
    logger.propagate = False
    while log.on:
        log.asks(HANDLER.lock)
        logger.warning("hello")
        log.left(HANDLER.lock)
        log.rest()


def start(log):
    Slow.log = log
    logging.getLogger("corpus").addHandler(HANDLER)
    for _ in range(2):
        log.thread(work, log)
