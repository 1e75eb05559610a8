"""A subject's run() waits for on_completed; the feed's thread has failed, and nobody else is there."""

import signal
import threading
import time

EXPECT = "stuck"
signal.alarm(600)


class Prices:
    def __init__(self):
        self.latch = threading.Event()

    def on_next(self, value):
        pass

    def on_completed(self):
        self.latch.set()

    def run(self):
        self.latch.wait()


def feed(to):
    for n in range(3):
        to.on_next(n)
        time.sleep(0.1)
    raise ConnectionError("feed lost")


threading.excepthook = lambda args: None
prices = Prices()
threading.Thread(target=feed, args=(prices,), name="feed", daemon=True).start()
time.sleep(1)
print("ready", flush=True)
prices.run()
