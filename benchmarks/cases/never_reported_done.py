"""Items that fail are not reported as done: the one that waits for all of them waits for ever."""

import queue
import threading
import time

EXPECT = "stuck by queue-dead-end"
parcels: "queue.Queue[int]" = queue.Queue()


def pack() -> None:
    while True:
        number = parcels.get()
        time.sleep(0.001)
        if number % 5:
            parcels.task_done()


for number in range(3):
    threading.Thread(target=pack, daemon=True, name=f"pack-{number}").start()
for number in range(50):
    parcels.put(number)
threading.Thread(target=parcels.join, name="waits-for-all", daemon=True).start()
time.sleep(1)
print("ready", flush=True)
time.sleep(600)
