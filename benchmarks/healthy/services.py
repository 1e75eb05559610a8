"""Three services that work now and then, three threads that wait to be told to end, and an Event as a bell."""

from __future__ import annotations

import collections
import queue
import threading
import time

NEEDS: tuple[str, ...] = ()

if __name__ == "__main__":
    stop, bell = threading.Event(), threading.Event()
    work: queue.Queue[str] = queue.Queue(100)
    letters: collections.deque[int] = collections.deque()

    def service(name: str) -> None:
        while not stop.wait(0.7):
            work.put(name)

    def sink() -> None:
        while True:
            work.get()

    def courier() -> None:
        while True:
            bell.wait()
            bell.clear()
            while letters:
                letters.popleft()

    for name in ("metrics", "cleanup", "refresh"):
        threading.Thread(target=service, args=(name,), name=name, daemon=True).start()
    for target in (sink, courier, courier, stop.wait, stop.wait, stop.wait):
        threading.Thread(target=target, daemon=True).start()
    print("ready", flush=True)
    while True:
        letters.append(1)
        bell.set()
        time.sleep(2)
