"""A build tool: three threads run short commands and wait for them."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from _program import perform


def command(number: int) -> int:
    return subprocess.run(["sleep", "0.1"], check=True).returncode


def program() -> object:
    pool = ThreadPoolExecutor(3, thread_name_prefix="build")

    def forever() -> None:
        while True:
            list(pool.map(command, range(9)))
            time.sleep(0.3)

    return forever


if __name__ == "__main__":
    perform(program)
