"""What the programs here share with those in tests/healthy, and browsers that put load on a web server.

Each names in NEEDS the packages it cannot do without. `catalogue_accuracy.py` starts it and watches it, or the process
whose number it prints as `watch PID` before `ready`.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "healthy"))

from _program import client, database, die_with_parent, perform, start

__all__ = ["browse", "client", "database", "die_with_parent", "free_port", "perform", "start"]

_BROWSERS = """
import http.client, random
def browse():
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    while True:
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the server may not be up yet, and may end a connection
        time.sleep(random.uniform(0.05, 0.25))
for _ in range(8):
    threading.Thread(target=browse, daemon=True).start()
    time.sleep(0.03)
time.sleep(10**6)
"""


def browse(port: int) -> None:
    """Eight browsers ask for pages, fifty a second together."""
    client(_BROWSERS, port)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
