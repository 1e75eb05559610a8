"""A server in one loop answers with sendall; one client does not read what it asked for, and all others wait."""

import selectors
import socket
import threading
import time

import _go

EXPECT = "says archiver"

listener = socket.create_server(("127.0.0.1", 0))
selector = selectors.DefaultSelector()


def serve():
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            asked = key.fileobj.recv(16)
            key.fileobj.sendall(b"x" * int(asked))


def client():
    connection = socket.create_connection(listener.getsockname())
    while True:
        connection.sendall(b"10")
        connection.recv(100)
        time.sleep(0.01)


def archiver():
    connection = socket.create_connection(listener.getsockname())
    connection.sendall(b"90000000")
    while True:
        time.sleep(60)


threading.Thread(target=serve, name="server", daemon=True).start()
for n in range(4):
    threading.Thread(target=client, name=f"client-{n}", daemon=True).start()
time.sleep(0.5)
threading.Thread(target=archiver, name="archiver", daemon=True).start()
_go.ready()
threading.Event().wait()
