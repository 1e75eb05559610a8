"""pykka: two actors that ask each other (jodal/pykka, 'deadlock when two actors call get()')."""

import time
import _go
import pykka

NEEDS = ("pykka",)
EXPECT = "stuck or named deadlock"


class Stock(pykka.ThreadingActor):
    def on_receive(self, m):
        if m == "reserve":
            return billing.ask("price")
        return 3


class Billing(pykka.ThreadingActor):
    def on_receive(self, m):
        return stock.ask("level")


stock, billing = Stock.start(), Billing.start()
_go.ready()
stock.ask("reserve")
