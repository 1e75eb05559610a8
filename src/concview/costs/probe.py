"""Runs inside the Python that is measured: 3.8 and newer, standard library only. One JSON object a line on stdout.

    python probe.py ROUNDS [NAME ...]

For each cost: {"name": ..., "per_op_ns": [one number a round], "cpu_ns": [the same in CPU time of the process]} or
{"name": ..., "error": why}. A round repeats the operation so often that it takes some 20 ms, so that the clock's own
cost does not count; the number of repetitions is found by trying.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import pickle
import queue
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Coroutine, Optional, Tuple

    #: (does the operation so many times, tidies up)
    Made = Tuple[Callable[[int], None], Optional[Callable[[], Any]]]

ROUND_S = 0.02


def nothing() -> None:
    pass


def loop_of(body: Callable[[], object]) -> Callable[[int], None]:
    """A function that runs `body` n times, without the loop's own cost being more than it must be."""

    def run(n: int) -> None:
        for _ in range(n):
            body()

    return run


class Costs:
    """One method a cost: returns (run, tidy): `run(n)` does the operation n times."""

    def call(self) -> Made:
        return loop_of(nothing), None

    def lock_free(self) -> Made:
        lock = threading.Lock()

        def run(n: int) -> None:
            for _ in range(n):
                with lock:
                    pass

        return run, None

    def rlock_free(self) -> Made:
        lock = threading.RLock()

        def run(n: int) -> None:
            for _ in range(n):
                with lock:
                    pass

        return run, None

    def lock_contended(self) -> Made:
        """Two threads take one lock in turn, each holding it while the other comes to wait: a hand-over each."""
        ping, pong = threading.Lock(), threading.Lock()
        ping.acquire()
        pong.acquire()
        over: list[int] = []

        def answer() -> None:
            while True:
                ping.acquire()
                if over:
                    return
                pong.release()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()

        def run(n: int) -> None:
            for _ in range(n):
                ping.release()
                pong.acquire()

        def tidy() -> None:
            over.append(1)
            ping.release()
            thread.join()

        return run, tidy

    def condition(self) -> Made:
        """notify and the other thread's wait, there and back: half of it is one hop."""
        condition = threading.Condition()
        turn = [0]

        def answer() -> None:
            with condition:
                while True:
                    while turn[0] == 0:
                        condition.wait()
                    if turn[0] < 0:
                        return
                    turn[0] = 0
                    condition.notify()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()

        def run(n: int) -> None:
            with condition:
                for _ in range(n):
                    turn[0] = 1
                    condition.notify()
                    while turn[0] == 1:
                        condition.wait()

        def tidy() -> None:
            with condition:
                turn[0] = -1
                condition.notify()
            thread.join()

        return run, tidy

    def queue_uncontended(self) -> Made:
        q: queue.Queue[None] = queue.Queue()

        def run(n: int) -> None:
            for _ in range(n):
                q.put(None)
                q.get()

        return run, None

    def queue_hop(self) -> Made:
        """put here, get in another thread, answered through another queue: two hops."""
        there: queue.Queue[Any] = queue.Queue()
        back: queue.Queue[Any] = queue.Queue()

        def answer() -> None:
            while True:
                item = there.get()
                if item is None:
                    return
                back.put(item)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()

        def run(n: int) -> None:
            for _ in range(n):
                there.put(1)
                back.get()

        def tidy() -> None:
            there.put(None)
            thread.join()

        return run, tidy

    def gil_handoff(self) -> Made:
        """Getting the GIL back after a wait, however short, while another thread computes."""
        over: list[int] = []

        def compute() -> None:
            while not over:
                pass

        thread = threading.Thread(target=compute, daemon=True)
        thread.start()

        def run(n: int) -> None:
            for _ in range(n):
                time.sleep(1e-6)

        def tidy() -> None:
            over.append(1)
            thread.join()

        return run, tidy

    def thread(self) -> Made:
        def run(n: int) -> None:
            for _ in range(n):
                thread = threading.Thread(target=nothing)
                thread.start()
                thread.join()

        return run, None

    def future(self) -> Made:
        pool = concurrent.futures.ThreadPoolExecutor(1)
        pool.submit(nothing).result()

        def run(n: int) -> None:
            for _ in range(n):
                pool.submit(nothing).result()

        return run, pool.shutdown

    def pool_of_threads(self) -> Made:
        def run(n: int) -> None:
            for _ in range(n):
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    list(pool.map(abs, range(4)))

        return run, None

    def task(self) -> Made:
        async def empty() -> None:
            pass

        async def many(n: int) -> None:
            for _ in range(n):
                await asyncio.ensure_future(empty())

        return self._in_loop(many)

    def to_thread(self) -> Made:
        async def many(n: int) -> None:
            loop = asyncio.get_running_loop()
            for _ in range(n):
                await loop.run_in_executor(None, nothing)

        return self._in_loop(many)

    def _in_loop(self, many: Callable[[int], Coroutine[Any, Any, None]]) -> Made:
        loop = asyncio.new_event_loop()

        def tidy() -> None:
            if hasattr(loop, "shutdown_default_executor"):  # 3.9
                loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

        return lambda n: loop.run_until_complete(many(n)), tidy

    def process(self) -> Made:
        context = multiprocessing.get_context("fork")

        def run(n: int) -> None:
            for _ in range(n):
                process = context.Process(target=nothing)
                process.start()
                process.join()

        return run, None

    def process_hop(self) -> Made:
        context = multiprocessing.get_context("fork")
        pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
        pool.submit(abs, 1).result()

        def run(n: int) -> None:
            for _ in range(n):
                pool.submit(abs, 1).result()

        return run, pool.shutdown

    def pickle_list(self) -> Made:
        """A list of 1,000 small tuples there and back."""
        value = [(i, str(i)) for i in range(1000)]

        def run(n: int) -> None:
            for _ in range(n):
                pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

        return run, None


#: Of these, the CPU time of the measuring thread alone: another one computes all the while.
ALONE = ("gil_handoff",)


def measured(run: Callable[[int], None], rounds: int, cpu_time: Callable[[], float]) -> Tuple[list[float], list[float]]:
    run(1)
    n, started = 1, time.perf_counter()
    run(n)
    while time.perf_counter() - started < ROUND_S / 4 and n < 1 << 22:
        n *= 2
        started = time.perf_counter()
        run(n)
    n = max(1, int(n * ROUND_S / max(1e-9, time.perf_counter() - started)))
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), cpu_time()
        run(n)
        walls.append((time.perf_counter() - wall) / n * 1e9)
        cpus.append((cpu_time() - cpu) / n * 1e9)
    return walls, cpus


def main(rounds: int, names: list[str]) -> None:
    costs = Costs()
    for name in names or [n for n in vars(Costs) if not n.startswith("_")]:
        try:
            run, tidy = getattr(costs, name)()
            try:
                walls, cpus = measured(run, rounds, time.thread_time if name in ALONE else time.process_time)
            finally:
                if tidy is not None:
                    tidy()
            said: dict[str, Any] = {"name": name, "per_op_ns": walls, "cpu_ns": cpus}
        except Exception as error:
            said = {"name": name, "error": "%s: %s" % (type(error).__name__, error)}
        os.write(1, (json.dumps(said) + "\n").encode("ascii"))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
