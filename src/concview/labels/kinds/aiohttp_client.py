"""aiohttp's client. Seen with 3.8 and 3.14."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import host_of
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    method, given, session = view.local("method"), view.local("str_or_url"), view.local("self")
    if not method:
        return None
    text = given.text() or given.attr("_str").text()
    if not text and (netloc := given.attr("_netloc").text()):  # a URL that nobody has made a text of yet
        text = f"//{netloc}{given.attr('_path').text()}"
    due = view.local("handle").attr("_when").float()  # of its time limit: another one a second later
    key = ("aiohttp", given.address, text, session.address, view.local("headers").address, due)
    return Raw(WorkKind.CALL, key, method=method.text(16), host=host_of(text), detail=text)


KIND = Kind("aiohttp", (At("aiohttp/client.py", "ClientSession._request"),), read)
