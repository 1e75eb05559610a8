"""What a program says of its own memory is its own, not its parent's."""

from __future__ import annotations

import subprocess
import sys

ASKS = "from concview.linux.own_memory import own_peak; print(own_peak())"
LARGE = """
import subprocess, sys
kept = bytes(range(256)) * (300 << 12)
print(subprocess.run([sys.executable, "-c", sys.argv[1]], check=True, capture_output=True, text=True).stdout)
"""


def test_the_most_memory_of_a_program_is_not_that_of_who_started_it() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE, ASKS], check=True, capture_output=True, text=True)
    assert 1 << 20 < int(done.stdout) < 200 << 20
    grown = subprocess.run(
        [sys.executable, "-c", f"kept = bytes(range(256)) * (300 << 12); {ASKS}"], check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert int(grown.stdout) > 300 << 20
