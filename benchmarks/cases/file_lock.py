"""Five threads take turns at a lock on a file and sleep with it."""

import fcntl
import tempfile
import threading
import time
from pathlib import Path

EXPECT = "held up: file lock"
path = Path(tempfile.mkdtemp()) / "state"


def work() -> None:
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            time.sleep(0.05)
            fcntl.flock(file, fcntl.LOCK_UN)


for number in range(5):
    threading.Thread(target=work, daemon=True, name=f"job-{number}").start()
print("ready", flush=True)
time.sleep(600)
