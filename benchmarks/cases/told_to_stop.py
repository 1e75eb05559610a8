"""Threads that work at their pace and wait to be told to stop, and a main thread that waits for a signal: healthy."""

import signal
import threading
import time

EXPECT = "quiet"
stop = threading.Event()


def beat() -> None:
    while not stop.wait(0.5):
        time.sleep(0.001)


def ends() -> None:
    stop.wait()


for number in range(3):
    threading.Thread(target=beat, daemon=True, name=f"beat-{number}").start()
threading.Thread(target=ends, daemon=True, name="ends").start()
print("ready", flush=True)
signal.pause()
stop.set()
