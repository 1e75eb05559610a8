"""Six threads wait for an Event that one thread sets once a peer has answered, which it never does."""

import socket
import threading
import time

EXPECT = "waits: signal"
ready = threading.Event()
mine, other = socket.socketpair()


def init() -> None:
    mine.recv(1)
    ready.set()


threading.Thread(target=init, daemon=True, name="init").start()
for number in range(6):
    threading.Thread(target=ready.wait, daemon=True, name=f"w-{number}").start()
    threading.Thread(target=lambda: ready.wait(), daemon=True, name=f"l-{number}").start()
print("ready", flush=True)
time.sleep(600)
