"""Two jobs have ended with their permits; four more wait for one that nobody will give back."""

import threading
import time

EXPECT = "stuck by pool-leak"
permits = threading.BoundedSemaphore(2)


def export(fails: bool) -> None:
    permits.acquire()
    if fails:
        return  # it forgot that it has one
    permits.release()


for number in range(2):
    early = threading.Thread(target=export, args=(True,), daemon=True, name=f"early-{number}")
    early.start()
    early.join()
for number in range(4):
    threading.Thread(target=export, args=(False,), daemon=True, name=f"late-{number}").start()
time.sleep(0.3)
print("ready", flush=True)
time.sleep(600)
