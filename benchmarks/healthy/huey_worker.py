"""A huey consumer with three workers and a scheduler on SQLite, with a task now and then."""

from __future__ import annotations

import tempfile
import threading
import time

NEEDS = ("huey",)

if __name__ == "__main__":
    from huey import SqliteHuey

    huey = SqliteHuey("work", filename=tempfile.mkdtemp() + "/work.db")

    @huey.task()  # type: ignore[untyped-decorator]
    def add(one: int, other: int) -> int:
        return one + other

    def send() -> None:
        time.sleep(1)
        print("ready", flush=True)
        while True:
            add(1, 2)
            time.sleep(0.5)

    threading.Thread(target=send, name="sender", daemon=True).start()
    huey.create_consumer(workers=3).run()
