"""Two licences in a set, which plain functions lend and take back, for seven renderers."""

import threading
import time

import _go

EXPECT = "held up: resource"
free = {"a", "b"}


def borrow():
    while not free:
        time.sleep(0.02)
    return free.pop()


def hand_back(licence):
    free.add(licence)


def render():
    while True:
        licence = borrow()
        time.sleep(0.3)
        hand_back(licence)


_go.ready()
for i in range(7):
    threading.Thread(target=render, name=f"render-{i}", daemon=True).start()
while True:
    time.sleep(1)
