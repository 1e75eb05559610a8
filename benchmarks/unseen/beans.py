"""huey: as many tasks that wait for a subtask's result as there are workers (coleifer/huey#618)."""

import _go
from huey import MemoryHuey

NEEDS = ("huey",)
EXPECT = "named nested-executor-deadlock"
huey = MemoryHuey("beans", blocking=True)


@huey.task()
def check_count(n):
    return n > 0


@huey.task()
def count(n):
    return check_count(n).get(blocking=True)


for n in range(3):
    count(n)
c = huey.create_consumer(workers=3, periodic=False, worker_type="thread")

_go.ready(4)
c.run()
