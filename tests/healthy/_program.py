"""What the healthy programs share. They run as `PYTHON program.py [--seconds N]` on any Python from 3.8, print
`ready`, and end with 0 on SIGTERM: the demos' stage does that, and is found in the source tree.

They serve to measure false alarms, so they do ordinary things in ordinary ways, at a load a machine does not notice.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Callable  # noqa: UP035

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "concview" / "demos"))

from _stage import database, die_with_parent, play, rounds_for, start

__all__ = ["client", "database", "die_with_parent", "perform", "rounds_for", "start"]

_clients = []  # a collected Popen closes the pipe that its client lives by

_CLIENT_HEAD = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
def live():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=live, daemon=True).start()
complain = threading.excepthook
def hook(problem):
    time.sleep(1)  # when the program ended, so does this one before it says anything
    complain(problem)
threading.excepthook = hook
"""


def perform(program: Callable[[], object]) -> None:
    """Run until SIGTERM or the end of --seconds."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so long (default: run until killed)")
    play(program, parser.parse_args().seconds)


def client(source: str, *arguments: object) -> None:
    """Start a process that puts load on this one and dies with it."""
    command = [sys.executable, "-c", _CLIENT_HEAD + source, *map(str, arguments)]
    _clients.append(subprocess.Popen(command, stdin=subprocess.PIPE))
