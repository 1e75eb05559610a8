"""A thread of a ThreadPoolExecutor: it runs a call whose result goes to the future of its work item."""

from __future__ import annotations

from concview.labels.base import At, Link, View


def read(view: View) -> int:
    return view.local("self").attr("future").address


LINK = Link((At("concurrent/futures/thread.py", "_WorkItem.run"),), read)
