"""A finalizer that the collector runs waits for a peer; another thread computes undisturbed: no collector to blame."""

import gc
import socket
import threading
import time

EXPECT = "quiet"
near, far = socket.socketpair()


def peer() -> None:
    while far.recv(1):
        time.sleep(0.02)
        far.send(b"k")


class Session:
    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        near.send(b"d")
        near.recv(1)


def rounds() -> None:
    while True:
        Session()
        gc.collect()
        time.sleep(0.05)


def computes() -> None:
    while True:
        sum(range(1000))
        time.sleep(0.01)


for target in (peer, rounds, computes):
    threading.Thread(target=target, daemon=True, name=target.__name__).start()
print("ready", flush=True)
time.sleep(600)
