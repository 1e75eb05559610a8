"""An answer without a time limit, behind a thread that reads from a silent peer."""

import socket
import threading
import _go

EXPECT = "says not everybody moves"
srv = socket.socket()
srv.bind(("127.0.0.1", 0))
srv.listen()
c = socket.create_connection(srv.getsockname())
s, _ = srv.accept()


class Channel:
    def __init__(self, sock):
        self.sock = sock
        self.status_event = threading.Event()
        self.status = -1
        threading.Thread(target=self._transport, name="transport", daemon=True).start()

    def _transport(self):
        while True:
            b = self.sock.recv(4)
            if not b:
                break
            self.status = b[0]
            self.status_event.set()

    def recv_exit_status(self):
        self.status_event.wait()
        return self.status


ch = Channel(c)
_go.ready()
ch.recv_exit_status()
