"""Two tasks take two locks in opposite order.

A bank: debits take the account's lock and then the ledger's, credits the other way round. The rest of
the service goes on.

bad:   sooner or later each has one and waits for the other. No thread waits for anything.
fixed: both take the locks in one order.

Look at: who holds what `debit` and `credit` wait for.
"""

from __future__ import annotations

import asyncio

from _stage import perform  # type: ignore[import-not-found]

ID = "async-deadlock"
GROUP = "Async and I/O"

PAUSE = 0.05


class Bank:
    def __init__(self) -> None:
        self.accounts, self.ledger = asyncio.Lock(), asyncio.Lock()

    async def debit(self) -> None:
        async with self.accounts:
            await asyncio.sleep(PAUSE)
            async with self.ledger:
                await asyncio.sleep(PAUSE)

    async def credit_bad(self) -> None:
        async with self.ledger:
            await asyncio.sleep(PAUSE)
            async with self.accounts:
                await asyncio.sleep(PAUSE)

    async def credit_fixed(self) -> None:
        async with self.accounts, self.ledger:
            await asyncio.sleep(PAUSE)


async def serve() -> None:
    while True:
        await asyncio.sleep(0.02)  # everything else


async def bad() -> None:
    bank = Bank()

    async def debit_all() -> None:
        while True:
            await bank.debit()

    async def credit_all() -> None:
        while True:
            await bank.credit_bad()

    await asyncio.gather(debit_all(), credit_all(), serve())


async def fixed() -> None:
    bank = Bank()

    async def booking() -> None:
        while True:
            await bank.debit()
            await bank.credit_fixed()
            await asyncio.sleep(PAUSE)

    await asyncio.gather(booking(), serve())


if __name__ == "__main__":
    perform(bad, fixed)
