"""Exact calls as callgrind saves them."""

from __future__ import annotations

from typing import BinaryIO

from concview.analysis import calls
from concview.exporters._calls import last_account
from concview.exporters.base import Exporter, Request
from concview.session.recording import Recording


def write(recording: Recording, out: BinaryIO, request: Request) -> list[str]:
    account, target = last_account(recording.events())
    out.write(calls.callgrind(account, " ".join(target.command) if target is not None else "").encode())
    return []


EXPORTER = Exporter("exact calls, for KCachegrind and QCachegrind", write, selects=False)
