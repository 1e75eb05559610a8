"""A module that connects in its body, and all who need it wait.

Five workers import a module inside their first call, as one does to make a program start sooner.

bad:   the body of the module asks a server which does not answer; one worker imports it, four wait.
fixed: the body defines a function, and whoever needs the answer calls it with a time limit.

Look at: what the workers wait for at `import`, and in which line of the module the one who imports it is.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import tempfile
import time
from collections import deque

from _stage import perform, start  # type: ignore[import-not-found]

ID = "import-contention"
GROUP = "Locks"
NEEDS_SECONDS = 9

server = socket.create_server(("127.0.0.1", 0))
kept: deque[socket.socket] = deque(maxlen=100)  # connections that it has accepted, and does not answer
folder = tempfile.mkdtemp(prefix="modules-")
sys.path.insert(0, folder)

BAD = """
import socket
connection = socket.create_connection(("127.0.0.1", {port}))
settings = connection.recv(100)
"""
FIXED = """
import socket
def settings():
    try:
        with socket.create_connection(("127.0.0.1", {port}), timeout=0.2) as connection:
            return connection.recv(100)
    except OSError:
        return b""
"""


def write(text: str) -> None:
    with open(os.path.join(folder, "remote_settings.py"), "w") as file:  # noqa: PTH118
        file.write(text.format(port=server.getsockname()[1]))


def say_nothing() -> None:
    while True:
        kept.append(server.accept()[0])


def work_bad() -> None:
    import remote_settings  # type: ignore[import-not-found]

    print(remote_settings.settings)


def work_fixed() -> None:
    import remote_settings

    while True:
        remote_settings.settings()
        time.sleep(random.uniform(0.1, 0.9))  # each at its own pace


def bad() -> None:
    start("silent server", say_nothing)
    write(BAD)
    for number in range(5):
        start(f"worker-{number}", work_bad)


def fixed() -> None:
    start("silent server", say_nothing)
    write(FIXED)
    for number in range(5):
        start(f"worker-{number}", work_fixed)


if __name__ == "__main__":
    perform(bad, fixed)
