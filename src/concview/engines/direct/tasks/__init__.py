"""Tasks and event loops, looked at beside the threads: only what moved since the last look is read again."""

from __future__ import annotations

from concview.engines.direct.tasks.tracker import TaskTracker

__all__ = ["TaskTracker"]
