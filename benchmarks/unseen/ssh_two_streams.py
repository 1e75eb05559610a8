"""Two streams of one channel, read one after the other, and a full buffer."""

import threading
import _go

EXPECT = "stuck"


class BufferedPipe:
    def __init__(self, limit):
        self.cv = threading.Condition()
        self.buf = bytearray()
        self.limit = limit
        self.eof = False

    def feed(self, data):
        with self.cv:
            while len(self.buf) + len(data) > self.limit:
                self.cv.wait()
            self.buf += data
            self.cv.notify_all()

    def finish(self):
        with self.cv:
            self.eof = True
            self.cv.notify_all()

    def read(self):
        out = b""
        with self.cv:
            while True:
                while not self.buf and not self.eof:
                    self.cv.wait()
                out += bytes(self.buf)
                self.buf.clear()
                self.cv.notify_all()
                if self.eof:
                    return out


class Channel:
    def __init__(self):
        self.stdout = BufferedPipe(4096)
        self.stderr = BufferedPipe(4096)


ch = Channel()


def transport():
    for i in range(100):
        ch.stderr.feed(b"w" * 100)
    ch.stdout.feed(b"ok")
    ch.stdout.finish()
    ch.stderr.finish()


threading.Thread(target=transport, name="transport", daemon=True).start()
_go.ready()
out = ch.stdout.read()
err = ch.stderr.read()
