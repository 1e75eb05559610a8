"""A message for every byte.

Four pairs of threads stream measurements to each other through pipes.

bad:   one byte a message. Every message is a system call and a change of threads, tens of thousands a second, and
       most of the CPU goes into them.
fixed: the same stream in messages of 4,096 bytes.

Look at: context switches a second, and the share of CPU spent in the kernel.
"""

from __future__ import annotations

import os
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "context-switch-storm"
GROUP = "GIL and scheduler"


def echo(incoming: int, outgoing: int, size: int) -> None:
    while True:
        os.write(outgoing, os.read(incoming, size))


def stream(incoming: int, outgoing: int, size: int) -> None:
    message = bytes(size)
    while True:
        os.write(outgoing, message)
        os.read(incoming, size)
        if size > 1:
            time.sleep(size / 100_000)  # as many bytes a second


def run(size: int) -> None:
    for number in range(4):
        there, back = os.pipe(), os.pipe()
        start(f"echo-{number}", echo, there[0], back[1], size)
        start(f"stream-{number}", stream, back[0], there[1], size)


def bad() -> None:
    run(size=1)


def fixed() -> None:
    run(size=4096)


if __name__ == "__main__":
    perform(bad, fixed)
