"""dramatiq: two worker threads, each in a message that waits for the result of another (coleifer/huey#618, dramatiq)."""

import time
import _go
import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

NEEDS = ("dramatiq",)
EXPECT = "named nested-executor-deadlock or stuck"
broker = StubBroker()
broker.add_middleware(Results(backend=StubBackend()))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def price(n):
    return n


@dramatiq.actor
def order(n):
    return price.send(n).get_result(block=True, timeout=600_000)


worker = dramatiq.Worker(broker, worker_threads=2)
for n in range(4):
    order.send(n)
worker.start()
_go.ready(3)
time.sleep(600)
