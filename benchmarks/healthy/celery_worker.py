"""A Celery worker with four threads and a broker in memory; twenty tasks a second, each asks somebody for 30 ms."""

from __future__ import annotations

import time
from typing import Callable  # noqa: UP035

from _stand import perform, start

NEEDS = ("celery",)


def program() -> Callable[[], None]:
    from celery import Celery

    app = Celery("work", broker="memory://", backend="cache+memory://")
    app.conf.update(worker_hijack_root_logger=False, worker_pool="threads", worker_concurrency=4)

    @app.task(name="ask", ignore_result=True)  # type: ignore[untyped-decorator]
    def ask(number: int) -> None:
        time.sleep(0.03)

    def send() -> None:
        number = 0
        while True:
            number += 1
            ask.delay(number)
            time.sleep(0.05)

    start("sender", send)
    # Not app.Worker, which takes over the signals that are to end this
    worker = app.WorkController(pool="threads", concurrency=4, without_gossip=True, without_mingle=True)
    return lambda: worker.start()


if __name__ == "__main__":
    perform(program)
