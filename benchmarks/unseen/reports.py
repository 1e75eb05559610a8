"""celery, a pool of two threads: each task waits for the result of another (celery/celery#3031)."""

import _go
from celery import Celery

NEEDS = ("celery",)
EXPECT = "named nested-executor-deadlock or stuck"
app = Celery("reports", broker="memory://", backend="cache+memory://")
app.conf.update(worker_redirect_stdouts=False, worker_prefetch_multiplier=8, broker_connection_retry_on_startup=True)


@app.task(name="page")
def page(n):
    return n


@app.task(name="report")
def report(n):
    return page.delay(n).get(disable_sync_subtasks=False)


for n in range(4):
    report.delay(n)
_go.ready(6)
app.worker_main(
    [
        "worker",
        "--pool=threads",
        "--concurrency=2",
        "--loglevel=error",
        "--without-mingle",
        "--without-gossip",
        "--without-heartbeat",
    ]
)
