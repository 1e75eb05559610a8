"""APScheduler in the background with a job every second and one at night; the main thread waits to be told to end."""

from __future__ import annotations

import threading
import time

NEEDS = ("apscheduler",)

if __name__ == "__main__":
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler()
    scheduler.add_job(lambda: time.sleep(0.05), "interval", seconds=1)
    scheduler.add_job(print, "cron", hour=3)
    scheduler.start()
    print("ready", flush=True)
    threading.Event().wait()
