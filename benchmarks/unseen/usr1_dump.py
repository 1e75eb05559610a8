"""A signal handler that takes the lock its thread holds."""

import os
import signal
import threading
import time

EXPECT = "named self-deadlock"
signal.alarm(600)
stats_lock = threading.Lock()
stats = {"requests": 0}


def dump(signum, frame):
    with stats_lock:
        print(stats)


signal.signal(signal.SIGUSR1, dump)


def bump():
    with stats_lock:
        stats["requests"] += 1
        time.sleep(0.2)


def operator():
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(1)
    print("ready", flush=True)
    time.sleep(100)


threading.Thread(target=operator, daemon=True).start()
while True:
    bump()
