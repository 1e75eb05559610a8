"""An RQ worker that works off jobs in its own process; the Redis is fakeredis', in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Callable  # noqa: UP035

from _stand import free_port, perform, start

NEEDS = ("rq", "redis", "fakeredis")

_REDIS = """
import os, sys, threading
from fakeredis import TcpFakeServer
server = TcpFakeServer(("127.0.0.1", int(sys.argv[1])), server_type="redis")
threading.Thread(target=server.serve_forever, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
os._exit(0)
"""


def job(number: int) -> int:
    time.sleep(0.02)
    return number


def program() -> Callable[[], None]:
    from redis import Redis
    from rq import Queue, SimpleWorker

    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", _REDIS, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    server.stdout.readline()
    jobs = Queue(connection=Redis(port=port))
    worker = SimpleWorker([jobs], connection=Redis(port=port))

    def send() -> None:
        number = 0
        while True:
            number += 1
            jobs.enqueue("math.sqrt", number)
            time.sleep(0.1)

    start("sender", send)

    def forever() -> None:
        assert server.poll() is None
        worker._install_signal_handlers = lambda: None  # the stage's are to end it
        worker.work(logging_level="ERROR")

    return forever


if __name__ == "__main__":
    perform(program)
