"""Ten threads compute the same value at every expiry."""

import hashlib
import signal
import threading
import time

EXPECT = "named thundering-herd"
signal.alarm(600)
_cache = {}
TTL = 0.4


def fetch_rates(day):
    h = b"x"
    for i in range(60000):
        h = hashlib.md5(h).digest()
    time.sleep(0.5)
    return h.hex()


def rates(day):
    hit = _cache.get(day)
    if hit and time.monotonic() < hit[0]:
        return hit[1]
    v = fetch_rates(day)
    _cache[day] = (time.monotonic() + TTL, v)
    return v


def request_loop():
    while True:
        rates("2024-05-01")
        time.sleep(0.01)


for i in range(10):
    threading.Thread(target=request_loop, name=f"req-{i}", daemon=True).start()
time.sleep(1)
print("ready", flush=True)
time.sleep(100)
