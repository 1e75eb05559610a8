"""Exact calls as Python's own profilers save them."""

from __future__ import annotations

from typing import BinaryIO

from concview.analysis import calls
from concview.exporters._calls import last_account
from concview.exporters.base import Exporter, Request
from concview.session.recording import Recording


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    out.write(calls.pstat(last_account(recording.events())[0]))
    return []


EXPORTER = Exporter("exact calls, for 'python -m pstats', snakeviz, gprof2dot", write, selects=False)
