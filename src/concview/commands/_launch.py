"""Attaching to a target that was just started: it may not be Python yet, or already be gone."""

from __future__ import annotations

import time

from concview.api import Observation
from concview.commands import _open, _preflight
from concview.commands._target_process import Child
from concview.commands.base import CommandError, Exit
from concview.config import Config

#: The interpreter reads a sitecustomize.py within this time, or does not read it at all.
BEGIN_S = 10.0
#: A wrapper (env, a shim, uv) has become Python within this time, and Python has set itself up.
BECOME_PYTHON_S = 10.0


def attach(child: Child, config: Config, blocking: bool = False, keep: bool = False) -> Observation:
    """Watch it. CommandError NO_TARGET when it ended first or never became Python."""
    what = ""
    deadline = time.monotonic() + BECOME_PYTHON_S
    while True:
        try:
            _preflight.look_at(child.pid)
            return _open.watch_process(child.pid, config, blocking, keep)
        except CommandError as error:
            if not child.running or child.wait(0.05):
                code = child.close()
                said = f"the target ended before anything was seen (exit code {code}){what}"
                raise CommandError(said, Exit.NO_TARGET) from None
            if "not a Python process" in error.message:
                what = "; it was no Python process"
            if error.code != Exit.NO_TARGET or time.monotonic() > deadline:
                raise


def wait_for_agent(child: Child) -> bool:
    """Wait until a child that was started with the agent in it waits for the dashboard; False when it does not."""
    from concview.agent_host.rendezvous import find_listener

    deadline = time.monotonic() + BEGIN_S
    while time.monotonic() < deadline and not child.wait(0.01):
        if find_listener(child.pid) is not None:
            return True
    return False
