"""A pool of two connections built on a Condition, eight threads, an answer inside the process."""

import socket
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


pool = Pool(2)


def answer(end: socket.socket) -> None:
    while end.recv(1):
        time.sleep(0.06)
        end.send(b"y")


def work() -> None:
    mine, other = socket.socketpair()
    threading.Thread(target=answer, args=(other,), daemon=True, name="peer-0").start()
    while True:
        one = pool.take()
        mine.send(b"x")
        mine.recv(1)
        pool.give(one)


for number in range(8):
    threading.Thread(target=work, daemon=True, name=f"web-{number}").start()
print("ready", flush=True)
time.sleep(600)
