"""A lock is held across a question to a peer that never answers; five threads wait for the lock, for ever."""

import socket
import threading
import time

EXPECT = "held up: lock"
server = socket.create_server(("127.0.0.1", 0))
session = socket.create_connection(server.getsockname())
guard = threading.Lock()


def ask() -> None:
    with guard:
        session.sendall(b"?")
        session.recv(10)


for number in range(6):
    threading.Thread(target=ask, daemon=True, name=f"ask-{number}").start()
    time.sleep(0.02)
print("ready", flush=True)
time.sleep(600)
