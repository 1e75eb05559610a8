"""In whose name threads and tasks work: requests, jobs, queries and calls to others, as read from their frames."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from concview.model.events import Event
from concview.model.values import Struct


class WorkKind(StrEnum):
    REQUEST = "request"  #: that came in: HTTP on the server's side
    JOB = "job"  #: a worker's task: celery, rq, dramatiq, ...
    QUERY = "query"  #: of a database
    TRANSACTION = "transaction"  #: of a database, open between and during its queries
    CALL = "call"  #: that goes out: HTTP on the client's side
    SPAN = "span"  #: of a trace (OpenTelemetry)


class Label(Struct, frozen=True):
    """What a piece of work is called. With labels = "safe" it holds templates and fingerprints only: what came with the
    request itself (paths, parameters, literals) never gets into the stream."""

    kind: WorkKind
    system: str  #: the library that told it: 'flask', 'celery', 'sqlite3'
    name: str = ""  #: 'GET /orders/{id}', 'shop.tasks.mail', 'SELECT id FROM orders WHERE id = ?', 'GET api.host'
    #: What of it is not known: 'route' (the name is the method alone), 'statement', 'name'; '' nothing
    missing: str = ""
    id: str = ""  #: of a job, where it is made by the library; of a span the trace's id
    detail: str = ""  #: with labels = "full" only: path, statement, address as they are
    after: bool = False  #: of a request: its response has been sent, what is done now comes after it


class LabelDef(Event, frozen=True, tag=38):
    """Void after a `Forget`, as all ids of stacks, waits and holds are."""

    id: int
    label: Label


class WorkItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request, job, query or call that is in progress. The id is ours, never used twice, and survives a `Forget`."""

    id: int
    label: int  #: id of a LabelDef
    seen_ns: int  #: when it was first seen
    started_ns: int  #: when it began, where the frame or span tells; 0 where it does not
    threads: tuple[int, ...] = ()  #: tids that work on it now
    tasks: tuple[int, ...] = ()  #: ids of tasks that do
    inside: int = 0  #: id of the item that it is a part of: a query's request; 0 none
    before: bool = False  #: it was there before the first look: it may have begun any time before `seen_ns`
    trace: str = ""  #: OpenTelemetry's ids, as the W3C writes them, where one who works on it is in a span
    span: str = ""
    #: A query or call, where who works on it has run since it was first seen: since when it is surely this one. What
    #: tells it from another may be the same the next time. 0: all the time.
    sure_ns: int = 0


class Work(Event, frozen=True, tag=39):
    """All that was known to be in progress at one moment; holds until the next one. Written when it changed."""

    at_ns: int
    items: tuple[WorkItem, ...]
    threads: int = 0  #: threads and tasks whose frames were looked at in the last round
    #: Of these, those of which nothing can be said: they moved while they were read. Not the same as no work.
    unknown: int = 0
    torn: int = 0  #: labels dropped because what they were read from had changed meanwhile, in all
    more: int = 0  #: items that were left out
    #: Libraries that it knows and has seen the code of in a stack: where nothing is in progress, what could have been.
    systems: tuple[str, ...] = ()
