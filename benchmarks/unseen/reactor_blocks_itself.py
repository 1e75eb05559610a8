"""Twisted: blockingCallFromThread in the reactor's own thread."""

import _go
from twisted.internet import defer, reactor, threads

NEEDS = ("twisted",)
EXPECT = "stuck"


def lookup():
    return defer.succeed(1)


def tick():
    return threads.blockingCallFromThread(reactor, lookup)


reactor.callLater(0.3, tick)
_go.ready()
reactor.run()
