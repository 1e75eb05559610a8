"""Twelve threads share three permits and sleep while they have one."""

import threading
import time

EXPECT = "held up: permit"
permits = threading.BoundedSemaphore(3)


def work() -> None:
    while True:
        with permits:
            time.sleep(0.05)


for number in range(12):
    threading.Thread(target=work, daemon=True, name=f"rpc-{number}").start()
print("ready", flush=True)
time.sleep(600)
