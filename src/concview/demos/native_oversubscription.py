"""More computing threads than processors.

Passwords are hashed in C, without the GIL: threads really run in parallel here.

bad:   eight threads for every processor. They do no more work than one each would, but wait in line for the CPU,
       and everything else on the machine waits with them.
fixed: half as many threads as processors.

Look at: `runnable`: waits for a CPU.
"""

from __future__ import annotations

import hashlib
import os

from _stage import perform, start  # type: ignore[import-not-found]

ID = "native-oversubscription"
GROUP = "GIL and scheduler"

CPUS = len(os.sched_getaffinity(0))


def hash_passwords() -> None:
    while True:
        hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 50_000)


def bad() -> None:
    for number in range(CPUS * 8):
        start(f"hash-{number}", hash_passwords)


def fixed() -> None:
    for number in range(max(1, CPUS // 2)):
        start(f"hash-{number}", hash_passwords)


if __name__ == "__main__":
    perform(bad, fixed)
