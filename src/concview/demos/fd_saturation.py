"""Files that are opened and not closed.

A service reads its configuration for every request; it may have 256 files open.

bad:   the files are kept open by the requests' history. Soon nothing can be opened any more, no connection either.
fixed: `with` closes each file.

Look at: open descriptors against the limit, and of what kind they are.
"""

from __future__ import annotations

import resource
import time
from typing import IO, Any, Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "fd-saturation"
GROUP = "Async and I/O"

LIMIT = 256
history: list[IO[Any]] = []


def request_bad() -> None:
    if len(history) < LIMIT - 10:  # the next ones would fail
        file = open(__file__)  # noqa: SIM115
        file.readline()
        history.append(file)


def request_fixed() -> None:
    with open(__file__) as file:
        file.readline()


def serve(request: Callable[[], None]) -> Callable[[], None]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    def forever() -> None:
        while True:
            request()
            time.sleep(0.01)

    return forever


def bad() -> Callable[[], None]:
    return serve(request_bad)


def fixed() -> Callable[[], None]:
    return serve(request_fixed)


if __name__ == "__main__":
    perform(bad, fixed)
