"""ZODB: five writers of different objects; the storage's vote takes 0.2 s with the commit lock."""

import threading
import time

import _go
import transaction
import ZODB
from persistent.mapping import PersistentMapping
from ZODB.MappingStorage import MappingStorage

NEEDS = ("ZODB",)
EXPECT = "held up: lock"


class Slow(MappingStorage):
    def tpc_vote(self, transaction):
        time.sleep(0.2)
        return super().tpc_vote(transaction)


db = ZODB.DB(Slow(), pool_size=20)
first = db.open()
for i in range(5):
    first.root()[i] = PersistentMapping()
transaction.commit()
first.close()


def write(i):
    while True:
        manager = transaction.TransactionManager()
        connection = db.open(manager)
        connection.root()[i]["at"] = time.time()
        manager.commit()
        connection.close()


_go.ready()
for i in range(5):
    threading.Thread(target=write, args=(i,), name=f"writer-{i}", daemon=True).start()
while True:
    time.sleep(1)
