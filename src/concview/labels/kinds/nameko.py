"""nameko's methods, which its workers run in greenlets for calls, events and HTTP. Seen with 2.14."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    context = view.local("worker_ctx")
    service, method = context.attr("service_name"), context.attr("entrypoint", "method_name")
    if not method:
        return None
    key = ("nameko", context.address, context.attr("args").address, context.attr("data").address, method.address)
    return Raw(WorkKind.JOB, key, name=f"{service.text(100)}.{method.text(100)}")


KIND = Kind("nameko", (At("nameko/containers.py", "ServiceContainer._run_worker"),), read)
