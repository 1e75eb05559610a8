"""Two workers of a pool take two locks in opposite order, beside a loop that goes on."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

EXPECT = "stuck by deadlock"
stock, bills = threading.Lock(), threading.Lock()


def take(one: threading.Lock, other: threading.Lock) -> None:
    with one:
        time.sleep(0.3)
        with other:
            pass


pool = ThreadPoolExecutor(4)
pool.submit(take, stock, bills)
pool.submit(take, bills, stock)
time.sleep(0.6)
print("ready", flush=True)
while True:
    time.sleep(0.05)
