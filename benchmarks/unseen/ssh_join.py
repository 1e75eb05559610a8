"""join() with the lock held that the other thread needs to end."""

import signal
import threading
import time

EXPECT = "named deadlock"
signal.alarm(600)


class Monitor:
    def __init__(self):
        self.state_lock = threading.Lock()
        self.running = True
        self.t = threading.Thread(target=self._poll, name="poller")
        self.t.start()

    def _poll(self):
        while True:
            with self.state_lock:
                if not self.running:
                    return
            time.sleep(0.01)

    def stop(self):
        with self.state_lock:
            self.running = False
            self.t.join()


m = Monitor()
time.sleep(0.2)


def tell():
    time.sleep(1.5)
    print("ready", flush=True)
    time.sleep(100)


threading.Thread(target=tell, daemon=True).start()
m.stop()
