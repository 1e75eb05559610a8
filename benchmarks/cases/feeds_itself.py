"""The only reader of a bounded queue puts follow-up work into it and waits for room there itself."""

import queue
import threading
import time

EXPECT = "stuck by queue-dead-end"


class Indexer(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True, name="indexer")
        self.pages: queue.Queue[int] = queue.Queue(20)

    def run(self) -> None:
        while True:
            self.index(self.pages.get())

    def index(self, page: int) -> None:
        time.sleep(0.001)
        if page % 4 == 0:
            self.pages.put(page + 1)


def crawl(indexer: Indexer) -> None:
    page = 0
    while True:
        indexer.pages.put(page)
        page += 1


indexer = Indexer()
indexer.start()
for number in range(3):
    threading.Thread(target=crawl, args=(indexer,), daemon=True, name=f"crawl-{number}").start()
time.sleep(1)
print("ready", flush=True)
time.sleep(600)
