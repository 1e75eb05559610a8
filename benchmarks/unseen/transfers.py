"""s3transfer: a task that submits to the bounded executor which is full of tasks like it."""

import threading
import _go
from s3transfer.futures import BoundedExecutor, TransferCoordinator
from s3transfer.tasks import Task

NEEDS = ("s3transfer",)
EXPECT = "stuck or named nested-executor-deadlock"
ex = BoundedExecutor(2, 2)


class Part(Task):
    def _main(self, **kw):
        return 1


class Job(Task):
    def _main(self, **kw):
        import time

        time.sleep(0.3)
        return ex.submit(Part(TransferCoordinator())).result()


for n in range(2):
    ex.submit(Job(TransferCoordinator()))
_go.ready(2)
f = ex.submit(Job(TransferCoordinator()))
threading.Event().wait()
