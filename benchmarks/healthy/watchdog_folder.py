"""watchdog on a folder in which a file changes twice a second, and on another one by polling."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

NEEDS = ("watchdog",)

if __name__ == "__main__":
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer
    from watchdog.observers.polling import PollingObserver

    folder = Path(tempfile.mkdtemp())
    for observer in (Observer(), PollingObserver()):
        observer.schedule(FileSystemEventHandler(), str(folder))
        observer.start()
    print("ready", flush=True)
    while True:
        (folder / "file").write_text("x")
        time.sleep(0.5)
