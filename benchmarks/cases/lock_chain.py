"""One thread holds a lock across a sleep, one waits for it with another lock, five wait for that one."""

import threading
import time

EXPECT = "held up: lock"
outer, inner = threading.Lock(), threading.Lock()


def deep() -> None:
    while True:
        with inner:
            time.sleep(0.1)
        time.sleep(0.001)


def middle() -> None:
    while True:
        with outer, inner:
            pass


def top() -> None:
    while True:
        with outer:
            time.sleep(0.001)


for number, target in enumerate((deep, middle, top, top, top, top, top)):
    threading.Thread(target=target, daemon=True, name=f"{target.__name__}-{number}").start()
print("ready", flush=True)
time.sleep(600)
