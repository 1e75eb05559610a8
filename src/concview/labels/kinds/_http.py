"""What kinds for HTTP clients share."""

from __future__ import annotations

from urllib.parse import urlsplit

from concview.labels.access import Ref

#: Methods of requests that have no body (RFC 9110).
_NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
#: Of an `io.BufferedReader`, behind its header: flags, how much it has read in all, how far its buffer is used
#: (`buffered` of Modules/_io/bufferedio.c, 3.8 to 3.15).
_READER = 80


def host_of(url: str) -> str:
    """Host and port of an address, without what a name and a password may be in; '' where it cannot be told."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port is not None else shown


def tells_apart(method: str, client_port: Ref, reader: Ref) -> tuple[int, bytes] | None:
    """What tells a request from an equal one before it, whose objects lay at the same addresses: the client's port,
    and how much has been read of the connection. None where that is not known, or the program may be reading on: a
    body."""
    port = client_port.integer()
    known = method in _NO_BODY and reader.type == "_io.BufferedReader" and port > 0
    return (port, reader.raw(0, _READER)) if known else None
