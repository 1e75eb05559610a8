"""An event loop with its own locks beside threads with theirs."""

import asyncio
import threading

LOCK = threading.Lock()


async def task(lock):
    async with lock:
        await asyncio.sleep(0.003)


async def loop(log):
    lock = asyncio.Lock()
    while log.on:
        await asyncio.gather(*[task(lock) for _ in range(3)])
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)


def run(log):
    asyncio.run(loop(log))


def work(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    log.thread(run, log)
    log.thread(work, log)
