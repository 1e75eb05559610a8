"""Two transfers, two locks, two orders: neither can ever go on.

A bank moves money between two accounts, in both directions; each account has a lock.

bad:   each transfer locks the account it takes from, then the one it gives to. Sooner or later both hold one and
       wait for the other's.
fixed: both lock Alice's account first. One order, no circle.

Look at: what each of the two threads holds, and what it waits for. The rest of the bank works on.
"""

from __future__ import annotations

import hashlib
import threading
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "deadlock"
GROUP = "Locks"

alice = threading.Lock()
bob = threading.Lock()
balance = {"alice": 1000, "bob": 1000}
CONTRACT = bytes(8_000_000)


def sign() -> str:
    return hashlib.sha256(CONTRACT).hexdigest()  # some milliseconds, without the GIL


def next_transfer() -> None:
    time.sleep(0.25 - time.monotonic() % 0.25)  # at every quarter of a second


def alice_pays_bob() -> None:
    while True:
        next_transfer()
        with alice:
            sign()
            with bob:
                balance["alice"] -= 1
                balance["bob"] += 1


def bob_pays_alice_bad() -> None:
    while True:
        next_transfer()
        with bob:
            sign()
            with alice:
                balance["bob"] -= 1
                balance["alice"] += 1


def bob_pays_alice_fixed() -> None:
    while True:
        next_transfer()
        with alice:
            sign()
            with bob:
                balance["bob"] -= 1
                balance["alice"] += 1


def quote_rates() -> None:
    while True:
        sum(i * i for i in range(1000))
        time.sleep(0.02)


def open_the_bank() -> None:
    for number in range(3):
        start(f"rates-{number}", quote_rates)
    start("alice-pays-bob", alice_pays_bob)


def bad() -> None:
    open_the_bank()
    start("bob-pays-alice", bob_pays_alice_bad)


def fixed() -> None:
    open_the_bank()
    start("bob-pays-alice", bob_pays_alice_fixed)


if __name__ == "__main__":
    perform(bad, fixed)
