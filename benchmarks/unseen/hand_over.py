"""A Condition that was notified before anybody waited."""

import signal
import threading
import time

EXPECT = "named lost-wakeup"
signal.alarm(600)
ready = threading.Condition()


def warm_up():
    with ready:
        ready.notify_all()


class Starter:
    def __init__(self):
        self.t = threading.Thread(target=warm_up)

    def start(self):
        self.t.start()
        time.sleep(0.3)
        with ready:
            ready.wait()


s = Starter()


def tell():
    time.sleep(1.5)
    print("ready", flush=True)
    time.sleep(100)


threading.Thread(target=tell, daemon=True, name="announce").start()
s.start()
