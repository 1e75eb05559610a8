"""Open transactions of psycopg2's connections: types laid out as that library's are, and the library where it is there.

The target writes down itself what is open.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import KeepingSink, tick_until, tick_until_passes, watching

from concview.labels.base import Raw
from concview.labels.policy import label
from concview.model import Work, WorkItem, WorkKind
from interpreters import Interpreter, target

#: psycopg/connection.h and psycopg/cursor.h of psycopg2 2.8 and 2.9, on x86-64 with glibc.
TARGET = r"""
import ctypes, sys, threading
class Spec(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("basicsize", ctypes.c_int), ("itemsize", ctypes.c_int),
                ("flags", ctypes.c_uint), ("slots", ctypes.c_void_p)]
HEADER = object.__basicsize__
no_slots = (ctypes.c_uint64 * 2)()
specs = []
def made(name, size):
    spec = Spec(name, HEADER + size, 0, 1 << 18, ctypes.addressof(no_slots))
    specs.append(spec)
    function = ctypes.pythonapi.PyType_FromSpec
    function.restype, function.argtypes = ctypes.py_object, [ctypes.c_void_p]
    return function(ctypes.addressof(spec))
PG, Cursor = made(b"psycopg2.extensions.connection", 160), made(b"psycopg2.extensions.cursor", 96)
def pg(closed, mark, status):
    one = PG()
    ctypes.c_int64.from_address(id(one) + HEADER + 64).value = closed
    ctypes.c_int64.from_address(id(one) + HEADER + 72).value = mark
    ctypes.c_int32.from_address(id(one) + HEADER + 80).value = status
    keep.append(one)
    return one
keep = []
stay, inside = threading.Event(), threading.Semaphore(0)
go_on = threading.Event()
def pay():
    inside.release()
    stay.wait()
def begun(conn):
    deeper(conn)
    # Committed, and the next one begun. It does so itself: who stands still is not looked at again.
    ctypes.c_int64.from_address(id(conn) + HEADER + 72).value = 8
    pay()
def deeper(connection):  # one transaction, in two functions' variables
    inside.release()
    go_on.wait()
def by_cursor(cur):
    pay()
def ready(conn):
    pay()
def closed(conn):
    pay()
scope = {"pay": pay}
exec(compile("def by_library(conn):\n    pay()\n", "/x/site-packages/orm/base.py", "exec"), scope)
by_library = scope["by_library"]
class Fairy:
    def __init__(self, dbapi): self.dbapi_connection = dbapi
class Connection:
    def __init__(self, dbapi): self._dbapi_connection = Fairy(dbapi)
class Transaction:
    def __init__(self, connection): self._connections = {connection: (connection, None, True, True)}
class Session:
    def __init__(self, connection): self._transaction = Transaction(connection) if connection else None
def core(connection):
    pay()
def orm(session):
    pay()
def none_begun(session):
    pay()
cursor, its = Cursor(), pg(0, 5, 2)
ctypes.c_void_p.from_address(id(cursor) + HEADER).value = id(its)
keep.append(cursor)
first = pg(0, 7, 2)
for function, value in [(begun, first), (by_cursor, cursor), (ready, pg(0, 9, 1)), (closed, pg(1, 9, 2)),
                        (core, Connection(pg(0, 1, 2))), (orm, Session(Connection(pg(0, 2, 2)))),
                        (none_begun, Session(None)),
                        (by_library, pg(0, 4, 2))]:
    threading.Thread(target=function, args=(value,), name=function.__name__, daemon=True).start()
for _ in range(8):
    inside.acquire()
print("ready", flush=True)
sys.stdin.readline()
go_on.set()
inside.acquire()
sys.stdin.readline()
"""


def _open(sink: KeepingSink) -> dict[str, WorkItem]:
    """By the name of the thread that has it open."""
    work = next((e for e in reversed(sink.events) if isinstance(e, Work)), None)
    found = {}
    for item in work.items if work is not None else ():
        one = sink.labels[item.label]
        assert one is not None and (one.kind, one.name, one.missing) == (WorkKind.TRANSACTION, "open transaction", "")
        (tid,) = item.threads
        found[sink.names[tid][0]] = item
    return found


@pytest.mark.few
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the layout is that of x86-64")
def test_who_has_one_open_and_that_the_next_one_is_another(direct_python: Interpreter) -> None:
    wanted = {"begun", "by_cursor", "core", "orm"}
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: set(_open(sink)) == wanted, looks=True)
        before = _open(sink)
        process.send("")

        def another() -> None:
            after = _open(sink)
            assert after["begun"].id != before["begun"].id
            assert after["begun"].seen_ns > before["begun"].seen_ns
            assert {n: i.id for n, i in after.items() if n != "begun"} == {
                n: i.id for n, i in before.items() if n != "begun"
            }

        tick_until_passes(engine, another, looks=True)


def test_it_tells_nothing_of_what_is_asked() -> None:
    raw = Raw(WorkKind.TRANSACTION, ("psycopg2", 1, 2), statement="SELECT 'xyzzysecret'", name="xyzzysecret")
    assert "xyzzysecret" not in repr(label(raw, full=False))
