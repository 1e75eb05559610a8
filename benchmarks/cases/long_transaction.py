"""One thread keeps a transaction of SQLite's open across slow work; three others want to write meanwhile."""

import sqlite3
import tempfile
import threading
import time

EXPECT = "held up: database lock"
folder = tempfile.mkdtemp()
path = f"{folder}/orders.db"
first = sqlite3.connect(path)
first.execute("create table orders(id)")
first.close()


def nightly() -> None:
    db = sqlite3.connect(path, isolation_level=None)
    while True:
        db.execute("begin immediate")
        for number in range(100):
            db.execute("insert into orders values (?)", (number,))
            time.sleep(0.03)
        db.execute("commit")
        time.sleep(0.02)


def order() -> None:
    db = sqlite3.connect(path, timeout=600, isolation_level=None)
    while True:
        db.execute("insert into orders values (1)")
        time.sleep(0.01)


threading.Thread(target=nightly, daemon=True, name="nightly").start()
time.sleep(0.3)
for number in range(3):
    threading.Thread(target=order, daemon=True, name=f"order-{number}").start()
print("ready", flush=True)
time.sleep(600)
