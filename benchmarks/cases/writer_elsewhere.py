"""Another process is in a transaction that writes; two threads of this one sleep and try again."""

import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

EXPECT = "held up: database lock"
HOLDS = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("begin immediate")
print(1, flush=True)
time.sleep(600)
"""
path = f"{tempfile.mkdtemp()}/shared.db"
first = sqlite3.connect(path)
first.execute("create table t(x)")
first.close()
child = subprocess.Popen([sys.executable, "-c", HOLDS, path], stdout=subprocess.PIPE)
assert child.stdout is not None
child.stdout.readline()


def write() -> None:
    with sqlite3.connect(path, timeout=600) as db:
        db.execute("insert into t values (1)")


for number in range(2):
    threading.Thread(target=write, daemon=True, name=f"write-{number}").start()
print("ready", flush=True)
try:
    time.sleep(600)
finally:
    child.kill()
