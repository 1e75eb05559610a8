"""For targets that tell what their threads do: told too early it would not be true yet."""

import os
import time
from pathlib import Path


def settled() -> None:
    """Returns when the other threads have come to rest: five looks in a row find all of them asleep."""
    calm = 0
    while calm < 5:
        time.sleep(0.02)
        others = [task for task in Path("/proc/self/task").iterdir() if int(task.name) != os.getpid()]
        states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in others}
        calm = calm + 1 if states == {"S"} else 0
