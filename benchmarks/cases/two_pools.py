"""Two pools alike; only one of them is short: whoever has something of the other is not in the way."""

import threading
import time

EXPECT = "held up: resource"


class Pool:
    def __init__(self, size: int) -> None:
        self.cond, self.free = threading.Condition(), list(range(size))

    def take(self) -> int:
        with self.cond:
            while not self.free:
                self.cond.wait()
            return self.free.pop()

    def give(self, one: int) -> None:
        with self.cond:
            self.free.append(one)
            self.cond.notify()


def work(pool: Pool) -> None:
    while True:
        one = pool.take()
        time.sleep(0.05)
        pool.give(one)


for name, count, kept in (("short", 6, Pool(1)), ("wide", 4, Pool(4))):
    for number in range(count):
        threading.Thread(target=work, args=(kept,), daemon=True, name=f"{name}-{number}").start()
print("ready", flush=True)
time.sleep(600)
