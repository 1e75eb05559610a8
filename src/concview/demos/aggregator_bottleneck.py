"""Everything has to pass through one thread.

Three readers read files in blocks of a megabyte or so; the checksums of all blocks end up in one index.

bad:   the readers hand on the blocks, and the thread that keeps the index makes all the checksums. It is busy all
       the time, and the readers wait for it.
fixed: every reader makes the checksums of its own blocks, and hands on those.

Look at: one thread at full speed, three in `put`.
"""

from __future__ import annotations

import hashlib
import queue
import time

from _stage import perform, rounds_for, start  # type: ignore[import-not-found]

ID = "aggregator-bottleneck"
GROUP = "Work distribution"

READERS = 3
BLOCKS = 10  # in a file
mail: queue.Queue[bytes] = queue.Queue(8)


def checksum(block: bytes) -> bytes:
    return hashlib.sha256(block).digest()  # without the GIL


def read_bad(block: bytes) -> None:
    while True:
        for _ in range(BLOCKS):
            mail.put(block)
        time.sleep(0.1)  # find the next file


def keep_bad() -> None:
    index = {b""}
    while True:
        index.add(checksum(mail.get()))


def read_fixed(block: bytes) -> None:
    while True:
        for _ in range(BLOCKS):
            mail.put(checksum(block))
        time.sleep(0.1)


def keep_fixed() -> None:
    index = {b""}
    while True:
        index.add(mail.get())


def a_block() -> bytes:
    """6 ms of checksum: thirty of them are nearly twice what one thread can do in the tenth of a second between two
    files, so that it stays too much where the machine turns out faster than it was measured to be."""
    return bytes(rounds_for(0.006, lambda size: checksum(bytes(size))))


def bad() -> None:
    start("index", keep_bad)
    for number in range(READERS):
        start(f"reader-{number}", read_bad, a_block())


def fixed() -> None:
    start("index", keep_fixed)
    for number in range(READERS):
        start(f"reader-{number}", read_fixed, a_block())


if __name__ == "__main__":
    perform(bad, fixed)
