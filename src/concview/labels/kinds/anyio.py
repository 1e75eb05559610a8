"""A worker thread of anyio: it runs a call for the task that waits for its future."""

from __future__ import annotations

from concview.labels.base import At, Link, View


def read(view: View) -> int:
    return view.local("future").address


LINK = Link((At("anyio/_backends/_asyncio.py", "WorkerThread.run"),), read)
