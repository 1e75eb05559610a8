"""peewee: PooledSqliteDatabase of two, eight threads that keep theirs while they render (coleifer/peewee 'MaxConnectionsExceeded')."""

import tempfile
import threading
import time
import _go
from playhouse.pool import PooledSqliteDatabase

NEEDS = ("peewee", "playhouse")
EXPECT = "named pool-leak or named connection-starvation or held up or stuck"
db = PooledSqliteDatabase(tempfile.mktemp(".db"), max_connections=2, timeout=0)


def view(n):
    while True:
        db.connect(reuse_if_open=True)
        db.execute_sql("select 1").fetchall()
        time.sleep(0.4)  # renders
        db.close()


for n in range(8):
    threading.Thread(target=view, args=(n,), name=f"view-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
