"""Four threads with five connections of SQLAlchemy's pool, twenty queries a second each."""

from __future__ import annotations

import tempfile
import threading
import time

NEEDS = ("sqlalchemy",)

if __name__ == "__main__":
    from sqlalchemy import create_engine, text

    engine = create_engine(f"sqlite:///{tempfile.mkdtemp()}/a.db", pool_size=5)

    def web() -> None:
        while True:
            with engine.connect() as connection:
                connection.execute(text("select 1")).all()
            time.sleep(0.05)

    for number in range(4):
        threading.Thread(target=web, name=f"web-{number}", daemon=True).start()
    time.sleep(1)
    print("ready", flush=True)
    while True:
        time.sleep(1)
