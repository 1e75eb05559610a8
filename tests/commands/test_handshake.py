"""`check` of a server whose listening socket was wrapped for TLS: a client that says nothing stops accept()."""

from __future__ import annotations

import json

import pytest
from running import run

from capacity import WAITS
from interpreters import Interpreter, target
from waiting import given_time

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

        def right(seconds: float) -> None:
            said = json.loads(run("check", process.pid, "--duration", seconds, "--format", "json").stdout)["blame"]
            assert said["verdict"] == "outside", said["sentence"]
            assert "TLS handshake inside accept()" in said["sentence"], said["sentence"]

        given_time(right, 7, 14, 28)
