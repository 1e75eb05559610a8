"""Exact calls as Python's own profilers save them."""

from __future__ import annotations

from collections.abc import Iterable

from concview.analysis import calls
from concview.exporters._calls import last_account
from concview.exporters.base import Exporter
from concview.model import AnyEvent


def convert(events: Iterable[AnyEvent]) -> bytes:
    return calls.pstat(last_account(events)[0])


EXPORTER = Exporter("exact calls, for 'python -m pstats', snakeviz, gprof2dot", convert)
