"""A child whose output nobody reads.

A deployment runs a program and waits for it to end; the program prints more than a pipe holds.

bad:   it waits first (`process.wait()`) and would read afterwards: the child stands in write, for ever.
fixed: it reads while it waits (`process.communicate()`).

Look at: the thread that waits for the child, and what the child waits for.
"""

from __future__ import annotations

import subprocess
import sys
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "child-pipe-deadlock"
GROUP = "Async and I/O"
NEEDS_SECONDS = 9

#: It ends with the demo, however that ends: writing fails when nobody is left who could read.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.stdout.write("x" * 1000000)
"""


def run() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)


def deploy_bad() -> None:
    process = run()
    process.wait()
    print(process.stdout)


def deploy_fixed() -> None:
    while True:
        run().communicate()
        time.sleep(0.2)


def bad() -> None:
    start("deploy", deploy_bad)


def fixed() -> None:
    start("deploy", deploy_fixed)


if __name__ == "__main__":
    perform(bad, fixed)
