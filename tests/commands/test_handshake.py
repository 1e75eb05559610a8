"""`check` of a server whose listening socket was wrapped for TLS: a client that says nothing stops accept()."""

from __future__ import annotations

import json

import pytest
from running import run

from capacity import WAITS
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: No certificate is needed to wait for a client's first words.
PROGRAM = """
import socket, ssl, threading
plain = socket.create_server(("127.0.0.1", 0))
listener = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(plain, server_side=True)
def client():
    mine = socket.create_connection(listener.getsockname())
    threading.Event().wait()
threading.Thread(target=client, name="silent", daemon=True).start()
print("ready", flush=True)
listener.accept()
"""


@pytest.mark.few
def test_a_client_that_says_nothing_stops_accept(any_python: Interpreter) -> None:
    with target(any_python, PROGRAM) as process:
        said = json.loads(run("check", process.pid, "--duration", 7, "--format", "json").stdout)["blame"]
    assert said["verdict"] == "outside" and "TLS handshake inside accept()" in said["sentence"], said["sentence"]
