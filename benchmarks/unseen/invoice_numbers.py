"""SQLAlchemy: each of four requests has a connection of four, and calls what takes one of its own."""

import tempfile
import threading

import _go
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

NEEDS = ("sqlalchemy",)
EXPECT = "stuck"
engine = sa.create_engine(
    "sqlite:///" + tempfile.mktemp(".db"),
    poolclass=QueuePool,
    pool_size=4,
    max_overflow=0,
    pool_timeout=600,
    connect_args={"check_same_thread": False},
)
all_there = threading.Barrier(4)


def next_number():
    with engine.connect() as c:
        return c.execute(sa.text("select 1")).scalar()


def invoice():
    with engine.connect() as c:
        c.execute(sa.text("select 1"))
        all_there.wait()
        return next_number()


for n in range(4):
    threading.Thread(target=invoice, name=f"web-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()
