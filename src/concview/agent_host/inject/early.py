"""Letting the agent in before a program's first line: a folder with a sitecustomize.py, put at the head of PYTHONPATH.

Python does not look there with -I, -E or -S; then the agent can only come in later, by request.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import concview.agent
from concview.agent_host.inject import boot

#: The program waits so long (seconds) for the dashboard, and no longer.
HOLD_S = 30.0


class Early:
    """`environment` is what the program is to be started with, by this very process. `close` removes the folder."""

    def __init__(self, yappi_folders: list[str], calls: bool) -> None:
        """OSError when there is no folder for it. `calls`: the program also waits until calls are counted."""
        self.folder = Path(tempfile.mkdtemp(prefix="concview-"))
        before = os.environ.get("PYTHONPATH")
        settings: dict[str, object] = {
            "folder": str(self.folder), "path": before, "parent": os.getpid(), "hold": HOLD_S, "calls": calls,
            "yappi": yappi_folders,
        }  # fmt: skip
        agent = Path(concview.agent.__file__).parent
        sources = {name: (agent / f"{name}.py").read_text("utf-8") for name in (*boot.MODULES, "listener", "early")}
        first = (agent / "first.py").read_text("utf-8")
        (self.folder / "sitecustomize.py").write_text(f"{first}\nbegin({sources!a}, {settings!a})\n", "utf-8")
        # An empty part of the path is the current folder: it must not become one for us.
        path = os.pathsep.join([str(self.folder), *([before] if before else [])])
        self.environment = {**os.environ, "PYTHONPATH": path}

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
