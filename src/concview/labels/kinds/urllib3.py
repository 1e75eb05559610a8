"""urllib3. Seen with 1.26 and 2.8."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    method, url, pool = view.local("method"), view.local("url"), view.local("self")
    host, port = pool.attr("host").text(253), pool.attr("port").integer()
    if not method:
        return None
    shown = f"{host}:{port}" if port not in (-1, 80, 443) else host
    key = ("urllib3", view.local("headers").address, url.address, url.text(), pool.address)
    return Raw(WorkKind.CALL, key, method=method.text(16), host=shown, detail=url.text())


KIND = Kind("urllib3", (At("urllib3/connectionpool.py", "HTTPConnectionPool.urlopen"),), read)
