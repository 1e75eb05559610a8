"""h5py: one thread writes compressed blocks, the others read attributes: all wait for the library's one lock, 'phil'."""

import tempfile
import threading
import time
import h5py
import numpy as np

import _go


NEEDS = ("h5py", "numpy")
EXPECT = "held up"
f = h5py.File(tempfile.mktemp(".h5"), "w")
f.attrs["site"] = "a"
data = np.random.randint(0, 1000, 4_000_000)


def writer():
    n = 0
    while True:
        if "block" in f:
            del f["block"]
        f.create_dataset("block", data=data, compression="gzip", compression_opts=9)


def reader(n):
    while True:
        f.attrs["site"]
        time.sleep(0.01)


threading.Thread(target=writer, name="writer", daemon=True).start()
for n in range(5):
    threading.Thread(target=reader, args=(n,), name=f"reader-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
