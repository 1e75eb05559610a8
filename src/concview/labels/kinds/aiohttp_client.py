"""aiohttp's client. Seen with 3.8 and 3.14."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import host_of
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    method, given = view.local("method"), view.local("str_or_url")
    if not method:
        return None
    text = given.text() or given.attr("_str").text()
    if not text and (netloc := given.attr("_netloc").text()):  # a URL that nobody has made a text of yet
        text = f"//{netloc}{given.attr('_path').text()}"
    # One session asks for one address again and again: the timer and the headers are made for each call, and the time
    # limit of another one is later.
    due = view.local("handle").attr("_when").float()
    key = ("aiohttp", view.local("tm").address, view.local("headers").address, given.address, text, due)
    return Raw(WorkKind.CALL, key, method=method.text(16), host=host_of(text), detail=text)


KIND = Kind("aiohttp", (At("aiohttp/client.py", "ClientSession._request"),), read)
