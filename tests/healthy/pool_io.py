"""A thread pool of the right size that asks a database: forty requests a second, 50 ms each, eight workers."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable  # noqa: UP035

from _program import database, perform

local = threading.local()


def program() -> Callable[[], None]:
    address = database(latency=0.05)

    def query(number: int) -> bytes:
        if not hasattr(local, "connection"):
            local.connection = socket.create_connection(address, timeout=10)
        local.connection.sendall(b"%d\n" % number)
        return local.connection.recv(100)

    pool = ThreadPoolExecutor(8, thread_name_prefix="query")

    def forever() -> None:
        number = 0
        while True:
            number += 1
            pool.submit(query, number)
            time.sleep(0.025)

    return forever


if __name__ == "__main__":
    perform(program)
