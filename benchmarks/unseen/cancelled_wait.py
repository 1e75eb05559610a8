"""concurrent.futures.wait() for futures made by hand, two of which are cancelled meanwhile: it is never told."""

import concurrent.futures
import threading
import time

import _go

EXPECT = "stuck"

pending = [concurrent.futures.Future() for _ in range(3)]


def device():
    pending[0].set_result(1)
    time.sleep(1)
    pending[1].cancel()
    pending[2].cancel()


threading.Thread(target=device, name="device", daemon=True).start()
_go.ready()
concurrent.futures.wait(pending)
