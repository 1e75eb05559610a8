"""Tasks that wait for tasks of their own pool."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

EXPECT = "named nested-executor-deadlock"
signal.alarm(600)
org = {"ceo": ["a", "b", "c", "d"], "a": ["a1"], "b": ["b1"], "c": ["c1"], "d": ["d1"]}
pool = ThreadPoolExecutor(4, thread_name_prefix="report")


def cost(who):
    time.sleep(0.2)
    below = [pool.submit(cost, w) for w in org.get(who, ())]
    time.sleep(0.1)
    return 1 + sum(f.result() for f in below)


def tell():
    time.sleep(2)
    print("ready", flush=True)
    time.sleep(100)


threading.Thread(target=tell, daemon=True).start()
fs = [pool.submit(cost, w) for w in org["ceo"]]
print(sum(f.result() for f in fs))
