"""SQLite: a second connection writes while the first of the same thread has its transaction open."""

import os
import sqlite3
import tempfile

import _go

EXPECT = "stuck or named database-locked"
p = os.path.join(tempfile.mkdtemp(), "shop.db")
a = sqlite3.connect(p, timeout=600)
b = sqlite3.connect(p, timeout=600)
a.execute("create table t(x)")
a.commit()


def audit(x):
    b.execute("insert into t values(?)", (x,))
    b.commit()


def order(x):
    a.execute("insert into t values(?)", (x,))
    audit(x)
    a.commit()


_go.ready()
order(1)
