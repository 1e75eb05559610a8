"""Bottle, with the rule that its router found. Seen with 0.12 and 0.13."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._wsgi import of_environ


def read(view: View) -> Raw | None:
    return of_environ(view.local("environ"), view.local("route").attr("rule").text())


KIND = Kind("bottle", (At("bottle.py", "Bottle._handle"),), read)
