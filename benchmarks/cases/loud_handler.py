"""Workers of a pool were handed a library's function: they log, and wait for the handler of one that writes slowly."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

EXPECT = "held up by slow-logging"


class Tape:
    def write(self, text: str) -> None:
        time.sleep(600)

    def flush(self) -> None:
        pass


log = logging.getLogger("case")
log.addHandler(logging.StreamHandler(Tape()))
log.propagate = False
threading.Thread(target=log.warning, args=("first",), daemon=True, name="first").start()
time.sleep(0.3)
pool = ThreadPoolExecutor(4)
for _ in range(4):
    pool.submit(log.warning, "next")
print("ready", flush=True)
time.sleep(600)
