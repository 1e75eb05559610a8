"""A child is forked while another thread holds a lock; in the child, which is to be watched, nobody does."""

import os
import signal
import threading
import time

EXPECT = "stuck by lost-at-fork"
registry = threading.Lock()


def reload() -> None:
    while True:
        with registry:
            time.sleep(0.4)
        time.sleep(0.001)


threading.Thread(target=reload, daemon=True, name="reload").start()
time.sleep(0.2)
child = os.fork()
if not child:
    with registry:
        os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: (os.kill(child, signal.SIGKILL), os._exit(0)))
print("watch", child, flush=True)
print("ready", flush=True)
time.sleep(600)
