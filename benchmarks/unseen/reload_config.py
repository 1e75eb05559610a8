"""An Event whose setter has failed."""

import json
import signal
import threading
import time

EXPECT = "named lost-wakeup or dormant or stuck"
signal.alarm(600)


class Settings:
    def __init__(self):
        self.loaded = threading.Event()
        self.values = {}

    def load(self, text):
        self.values = json.loads(text)
        self.loaded.set()

    def __getitem__(self, k):
        self.loaded.wait()
        return self.values[k]


threading.excepthook = lambda a: None
settings = Settings()
threading.Thread(target=settings.load, args=("{'debug': true}",), name="loader").start()


def consumer():
    print(settings["debug"])


ts = [threading.Thread(target=consumer, name=f"consumer-{i}") for i in range(4)]
for t in ts:
    t.start()
time.sleep(1)
print("ready", flush=True)
for t in ts:
    t.join()
