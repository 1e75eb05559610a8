"""A lock as a sign: taken at the start, given back by the loader when it is ready. The loader has failed."""

import threading
import time

import _go

EXPECT = "stuck"

loaded = threading.Lock()
loaded.acquire()
threading.excepthook = lambda args: None


def loader():
    time.sleep(0.3)
    with open("/nonexistent/config"):
        pass
    loaded.release()


def view():
    with loaded:
        pass


threading.Thread(target=loader, name="loader").start()
for n in range(4):
    threading.Thread(target=view, name=f"view-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
