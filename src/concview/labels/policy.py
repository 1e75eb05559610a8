"""What may be told of what was read. `safe`: templates, fingerprints, and what names a thing rather than its content.

Nothing that came with a request gets through: no path (a path without a known template is a parameter), no query
string, no header, no literal of a statement, no parameter. What is not surely one of the allowed things is dropped.
"""

from __future__ import annotations

import re

from concview.labels.base import Raw
from concview.labels.sql import fingerprint
from concview.model import Label, WorkKind
from concview.text import clean

#: RFC 9110 and 5789, WebDAV's, and what stands for one in a WebSocket and in gRPC.
_METHODS = """GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT
SEARCH WEBSOCKET RPC"""
METHODS = frozenset(_METHODS.split())
#: A dotted name of Python's, with the separators that task libraries put in.
_NAME = re.compile(r"[A-Za-z_][\w]*(?:[.:/-][A-Za-z_<][\w<>]*){0,20}", re.ASCII)
#: An id that a library made: of hexadecimal digits and hyphens. One that was chosen by the program may be anything.
_ID = re.compile(r"[0-9a-fA-F]{8,64}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\.?|\[?[0-9a-fA-F:.]{2,45}\]?)(?::\d{1,5})?")
#: Of Kafka (`Topic.LEGAL_CHARS`), and where in a partition a record lies.
_TOPIC, _OFFSET = re.compile(r"[a-zA-Z0-9._-]{1,249}"), re.compile(r"\d{1,20}", re.ASCII)
#: Of a route as the program's source has it.
_ROUTE = re.compile(r"[^\x00-\x20\x7f?#]{1,200}")
_LONGEST = 200
#: A kind of GraphQL's operations, and names of fields.
_OPERATION = re.compile(
    r"(?:query|mutation|subscription) (?:[_A-Za-z]\w{0,99}|\?)(?:, (?:[_A-Za-z]\w{0,99}|\?|\.{3}))*", re.ASCII
)
#: Names of Redis's and MongoDB's commands; of a collection; of a gRPC method, of an operation of AWS.
_COMMAND = re.compile(r"[A-Za-z]{2,24}(?:[ ._-][A-Za-z]{2,24})?")
_COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,100}")
_RPC = re.compile(r"/[A-Za-z_][A-Za-z0-9_.-]{0,150}/[A-Za-z_][A-Za-z0-9_]{0,100}")


def label(raw: Raw, full: bool) -> Label:
    """`full`: as it is, cleaned and cut."""
    name, missing = _NAMERS[raw.kind](raw)
    made = _ID.fullmatch(raw.id) or (raw.partition >= 0 and _OFFSET.fullmatch(raw.id))
    id_ = raw.id if full or made else ""
    detail = ""
    if full:
        detail = raw.detail or raw.path or raw.statement or raw.name
    return Label(raw.kind, raw.system, clean(name, _LONGEST), missing, clean(id_, 64), clean(detail, 1000), raw.after)


def _method(raw: Raw) -> str:
    method = raw.method.upper()
    return method if method in METHODS else "?"


def _request(raw: Raw) -> tuple[str, str]:
    if not raw.operation or not _OPERATION.fullmatch(raw.operation):
        return _routed(raw)
    if not raw.method:
        return raw.operation, ""
    routed, missing = _routed(raw)
    return f"{routed} {raw.operation}", missing


def _routed(raw: Raw) -> tuple[str, str]:
    if raw.route and _ROUTE.fullmatch(raw.route):
        return f"{_method(raw)} {raw.route}", ""
    if raw.handler and len(raw.handler) <= _LONGEST and _NAME.fullmatch(raw.handler):
        return f"{_method(raw)} {raw.handler}", ""
    return _method(raw), "route"


def _job(raw: Raw) -> tuple[str, str]:
    if raw.partition >= 0:
        return (f"{raw.name} partition {raw.partition}", "") if _TOPIC.fullmatch(raw.name) else ("", "name")
    return (raw.name, "") if raw.name and len(raw.name) <= _LONGEST and _NAME.fullmatch(raw.name) else ("", "name")


def _query(raw: Raw) -> tuple[str, str]:
    if raw.command:
        if not _COMMAND.fullmatch(raw.command):
            return "", "statement"
        about = raw.name if _COLLECTION.fullmatch(raw.name) else ""
        return f"{raw.command} {about}".strip(), ""
    found = fingerprint(raw.statement, raw.system)
    return found, "" if found else "statement"


def _call(raw: Raw) -> tuple[str, str]:
    if _RPC.fullmatch(raw.rpc):
        host = f" {raw.host.lower()}" if _HOST.fullmatch(raw.host) else ""
        return f"{_method(raw)} {raw.rpc}{host}", ""
    if raw.host and _HOST.fullmatch(raw.host):
        return f"{_method(raw)} {raw.host.lower()}", ""
    return _method(raw), "host"


def _transaction(raw: Raw) -> tuple[str, str]:
    return "open transaction", ""


def _span(raw: Raw) -> tuple[str, str]:
    return "", ""  # its name is free text


_NAMERS = {
    WorkKind.REQUEST: _request,
    WorkKind.JOB: _job,
    WorkKind.QUERY: _query,
    WorkKind.TRANSACTION: _transaction,
    WorkKind.CALL: _call,
    WorkKind.SPAN: _span,
}
