"""tqdm: forked while another thread had its write lock: the child hangs at its first bar (tqdm/tqdm issues 'hangs with multiprocessing')."""

import os
import sys
import threading
import time
import signal
import _go
import io
from tqdm import tqdm

NEEDS = ("tqdm",)
EXPECT = "named lost-at-fork or stuck"


class Slow(io.StringIO):
    def write(self, s):
        time.sleep(0.05)
        return len(s)


out = Slow()


def bars():
    for _ in tqdm(range(10**9), file=out, mininterval=0):
        pass


threading.Thread(target=bars, name="bars", daemon=True).start()
time.sleep(1)
kid = os.fork()
if kid == 0:
    signal.alarm(600)
    for _ in tqdm(range(100), file=io.StringIO(), mininterval=0):
        pass
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: (os.kill(kid, 9), os._exit(0)))
print("watch", kid, flush=True)
_go.ready()
threading.Event().wait()
