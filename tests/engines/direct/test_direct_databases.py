"""SQLite: who has the lock that a thread sleeps for, in this process and in another one."""

from __future__ import annotations

import json
import subprocess

import pytest
from direct_helpers import KeepingSink, tick_until_passes, watching

from concview.model import FileLock, FileLocks
from interpreters import Interpreter, target

TARGET = """
import json, os, sqlite3, subprocess, sys, tempfile, threading, time
folder = tempfile.mkdtemp()
def made(name, journal):
    path = folder + "/" + name
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=" + journal)
    db.execute("create table t(x)")
    db.close()
    return path
rollback, wal, foreign = made("rollback.db", "delete"), made("wal.db", "wal"), made("foreign.db", "delete")
HOLD = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); " \
    "c.execute('begin immediate'); print(1, flush=True); time.sleep(1000)"
child = subprocess.Popen([sys.executable, "-c", HOLD, foreign], stdout=subprocess.PIPE)
child.stdout.readline()
tids = {}
class Store:
    def __init__(self, path): self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
def has(store, name):
    store.db.execute("begin immediate")
    tids[name] = threading.get_native_id()
    time.sleep(1000)
def wants(path, name):
    cursor = sqlite3.connect(path, timeout=1000, isolation_level=None).cursor()
    tids[name] = threading.get_native_id()
    if name == "wants wal":  # a bound method is all that leads there
        sql = [sqlite3.connect(path, timeout=1000, isolation_level=None).execute]
        del cursor
        call(sql[0])
    cursor.execute("insert into t values (1)")
def call(sql):
    sql("insert into t values (1)")
for path, name in ((rollback, "rollback"), (wal, "wal")):
    threading.Thread(target=has, args=(Store(path), name), daemon=True).start()
while len(tids) < 2: time.sleep(0.01)
for path, name in ((rollback, "wants rollback"), (wal, "wants wal"), (foreign, "wants foreign")):
    threading.Thread(target=wants, args=(path, name), daemon=True).start()
while len(tids) < 5: time.sleep(0.01)
print("ready", flush=True)
print(json.dumps([tids, child.pid, folder]), flush=True)
time.sleep(1000)
"""


def _locks(sink: KeepingSink) -> dict[str, FileLock]:
    said = next((e for e in reversed(sink.events) if isinstance(e, FileLocks)), None)
    return {lock.path.rpartition("/")[2]: lock for lock in said.locks} if said is not None else {}


@pytest.mark.few
def test_who_is_in_a_transaction_that_writes(direct_python: Interpreter) -> None:
    if subprocess.run([direct_python.path, "-c", "import sqlite3"], capture_output=True).returncode:
        pytest.skip("this Python was built without sqlite3")
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tids, child, folder = json.loads(process.line())

        def told() -> None:
            locks = _locks(sink)
            assert [lock.kind for lock in locks.values()] == ["SQLite"] * 3
            for name in ("rollback", "wal"):
                lock = locks[f"{name}.db"]
                assert (lock.path, lock.holder) == (f"{folder}/{name}.db", process.pid)
                assert lock.waiters == (tids[f"wants {name}"],)
                assert [(user.tid, user.path, user.function) for user in lock.users] == [
                    (tids[name], "store.db", "has")
                ]
            other = locks["foreign.db"]
            assert (other.holder, other.waiters, other.users) == (child, (tids["wants foreign"],), ())
            assert "python" in other.holder_name

        tick_until_passes(engine, told, looks=True, pause=0.05)
