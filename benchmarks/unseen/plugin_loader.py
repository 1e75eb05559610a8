"""An import and a lock, taken in opposite orders."""

import importlib
import os
import signal
import sys
import tempfile
import threading
import time

EXPECT = "named import-deadlock"
signal.alarm(600)
d = tempfile.mkdtemp()
sys.path.insert(0, d)
open(os.path.join(d, "hp_pricing.py"), "w").write(
    "import time\ntime.sleep(0.5)\nimport __main__\n__main__.register('pricing')\nRATE = 3\n"
)
registry_lock = threading.Lock()
plugins = {}


def register(name):
    with registry_lock:
        plugins[name] = True


def quote():
    with registry_lock:
        time.sleep(0.7)
        import hp_pricing

        return hp_pricing.RATE


a = threading.Thread(target=lambda: importlib.import_module("hp_pricing"), name="discovery", daemon=True)
b = threading.Thread(target=quote, name="quote", daemon=True)
b.start()
a.start()
time.sleep(2)
print("ready", flush=True)
a.join()
