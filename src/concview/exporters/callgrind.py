"""Exact calls as callgrind saves them."""

from __future__ import annotations

from collections.abc import Iterable

from concview.analysis import calls
from concview.exporters._calls import last_account
from concview.exporters.base import Exporter
from concview.model import AnyEvent


def convert(events: Iterable[AnyEvent]) -> bytes:
    account, target = last_account(events)
    return calls.callgrind(account, " ".join(target.command) if target is not None else "").encode()


EXPORTER = Exporter("exact calls, for KCachegrind and QCachegrind", convert)
