"""Twisted's reactor with an echo server and a call in a thread every second."""

from __future__ import annotations

NEEDS = ("twisted",)

if __name__ == "__main__":
    from twisted.internet import protocol, reactor, task, threads

    class Echo(protocol.Protocol):
        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            self.transport.write(data)

    reactor.listenTCP(0, protocol.Factory.forProtocol(Echo), interface="127.0.0.1")  # type: ignore[attr-defined]
    task.LoopingCall(lambda: threads.deferToThread(sum, [1])).start(1)
    reactor.callLater(1, print, "ready", flush=True)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
