"""A module asks somebody for its settings in its body, and they do not answer; three threads wait for its import."""

import importlib
import pathlib
import socket
import sys
import tempfile
import threading
import time

EXPECT = "held up: import lock"
folder = tempfile.mkdtemp()
sys.path.insert(0, folder)
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
pathlib.Path(folder, "settings_of_case.py").write_text(
    f"import socket\nasks = socket.create_connection(('127.0.0.1', {port}))\nVALUES = asks.recv(100)\n"
)


def serve() -> None:
    importlib.import_module("settings_of_case")


for number in range(4):
    threading.Thread(target=serve, daemon=True, name=f"serve-{number}").start()
    time.sleep(0.1)
print("ready", flush=True)
time.sleep(600)
