"""kombu: a pool of two connections, acquire(block=True), eight publishers that keep theirs while they render."""

import threading
import time
import kombu
import kombu.pools

import _go


NEEDS = ("kombu",)
EXPECT = "named connection-starvation or held up"
con = kombu.Connection("memory://")
kombu.pools.set_limit(2)


def publish(n):
    while True:
        with kombu.pools.producers[con].acquire(block=True) as p:
            time.sleep(0.4)
            p.publish({"n": n}, routing_key="x", exchange="")


for n in range(8):
    threading.Thread(target=publish, args=(n,), name=f"publish-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
