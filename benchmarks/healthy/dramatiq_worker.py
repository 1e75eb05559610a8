"""dramatiq's worker threads with a broker in memory, with a message now and then."""

from __future__ import annotations

import time

NEEDS = ("dramatiq",)

if __name__ == "__main__":
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker()
    dramatiq.set_broker(broker)

    @dramatiq.actor
    def add(one: int, other: int) -> None:
        time.sleep(0.01)

    dramatiq.Worker(broker, worker_threads=4).start()
    print("ready", flush=True)
    while True:
        add.send(1, 2)
        time.sleep(0.2)
