"""How the screen keeps up: the real program in a pseudo-terminal, on targets with 10, 100 and 1,000 threads.

    python benchmarks/screen.py [--threads 10 100 1000] [--seconds 10] [--rounds 12] [--rate 1000] [--keys-only]

Prints the CPU of the screen (its main thread) and of the whole dashboard process, the bytes to the terminal, the time
from a key to what it draws (median, p95) while sampling at --rate, and the time of one frame drawn without a terminal.
By CPU time where that can be, so that other work on the machine disturbs little. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time

from common import TARGET, cpu_seconds, find, machine, row, target
from concview.tui.widgets.groups import MANY
from terminal import CONCVIEW, Terminal

#: What a person does, and the words that the changed screen is known by, one of them; none where anything new is it:
#: the cursor.
KEYS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("to Threads", "2", ("LOCK%",)),
    ("cursor down", "j", ()),
    ("cursor up", "k", ()),
    ("sort", "s", ("▼", "▲")),
    ("open a thread", "\r", ("innermost first",)),
    ("back", "\x1b", ("LOCK%",)),
    ("to Locks", "4", ("HELD%",)),
    ("to I/O", "5", ("WAITS FOR",)),
    ("to Overview", "1", ("Where the time",)),
)


def key_latency(terminal: Terminal, rounds: int) -> tuple[dict[str, list[tuple[float, float, float]]], list[str]]:
    """(seconds from a key to the changed screen, CPU of our main thread meanwhile, how long that waited for a CPU) by
    what was done, and which keys were not answered.

    Bytes that would have come anyway can only make it look faster, so a key is pressed right behind a frame of data:
    the next one is a third of a second away. In the first round views are made that later are only shown.
    """
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name, _, _ in KEYS}
    lost = []
    for _ in range(rounds):
        for name, key, words in KEYS:
            terminal.quiet()
            took = terminal.answer(key, words)
            if took is None:
                lost.append(name)
            else:
                found[name].append(took)
    return found, lost


def measure_keys(pid: int, threads: int, rounds: int, rate: float) -> None:
    terminal = Terminal((*CONCVIEW, "attach", str(pid), "--rate", str(rate), "--budget", "50"))
    time.sleep(12)
    if threads >= MANY:  # they are grouped, and Enter would fold a group
        terminal.press("2")
        time.sleep(2)
        terminal.press("t")
        time.sleep(2)
        terminal.press("1")
    found, lost = key_latency(terminal, rounds)
    print(f"  from a key to the changed screen at {rate:.0f} Hz; CPU, waits for a CPU: of our main thread, which draws")
    for name, times in [*found.items(), ("all keys", [t for one in found.values() for t in one])]:
        if times:
            late = round(0.95 * (len(times) - 1))
            said = [
                f"{statistics.median(values) * 1000:.0f} ms, p95 {sorted(values)[late] * 1000:.0f} ms"
                for values in ([t[0] for t in times], [t[1] for t in times], [max(0.0, t[0] - t[2]) for t in times])
            ]
            row(
                name,
                said[0],
                f"CPU {said[1]}; without waits for a CPU {said[2]}"
                f"{' (goal: p95 below 50 ms)' if name == 'all keys' else ''}",
            )
    if lost:
        row("keys without an answer", str(len(lost)), ", ".join(sorted(set(lost))))
    terminal.quit()


def measure(pid: int, threads: int, seconds: float) -> None:
    terminal = Terminal((*CONCVIEW, "attach", str(pid), "--rate", "100"))
    time.sleep(13)  # until the window of the rules is full
    for view, key in (("overview", "1"), ("threads", "2")):
        terminal.press(key)
        time.sleep(1)
        screen, whole, sent, start = (
            terminal.drawing()[0], cpu_seconds(terminal.pid), terminal.received, time.monotonic(),
        )  # fmt: skip
        time.sleep(seconds)
        elapsed = time.monotonic() - start
        row(f"{view}, screen alone", f"{(terminal.drawing()[0] - screen) / elapsed:.1%} of a core")
        row(
            f"{view}, with all analysis",
            f"{(cpu_seconds(terminal.pid) - whole) / elapsed:.1%} of a core",
            "(goal below 10 % at 100 threads)" if threads == 100 else "",
        )
        row(f"{view}, to the terminal", f"{(terminal.received - sent) / elapsed / 1024:.1f} KiB/s")
    terminal.quit()


def frames(threads: int) -> None:
    """CPU of one frame of new data in the table of threads, at 160x50, without a terminal."""
    import asyncio

    from concview.session import LiveSource, Session
    from concview.tui.app import ConcviewApp
    from concview.tui.screens.dashboard import Dashboard

    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None

    async def run() -> None:
        with target(python.path, TARGET, threads, 20, 1) as process:
            session = Session(LiveSource(process.pid))
            session.start()
            session.wait(3)
            one = session.snapshot()
            session.wait(4)
            other = session.snapshot()
            app = ConcviewApp(session)
            async with app.run_test(size=(160, 50)) as pilot:
                board = app.screen
                assert isinstance(board, Dashboard)
                board.timer.stop()
                await pilot.press("2")
                await pilot.pause(0.5)
                took = []
                for number in range(40):
                    start = time.thread_time()
                    board.arrived((one, other)[number % 2])
                    board.draw_bars()
                    board._compositor_refresh()
                    took.append(time.thread_time() - start)
                    await pilot.pause(0.01)
            session.close()
        row("CPU of one frame", f"{statistics.median(took) * 1000:.1f} ms", f"max {max(took) * 1000:.1f} ms")

    asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=12, help="of all the keys")
    parser.add_argument("--keys-only", action="store_true")
    parser.add_argument("--rate", type=float, default=1000.0)
    options = parser.parse_args()
    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None
    print(f"{machine()}\ntargets on Python {python.label}, 20 frames deep, terminal 160x50")
    for threads in options.threads:
        print(f"{threads} threads")
        if not options.keys_only:
            frames(threads)
        with target(python.path, TARGET, threads, 20, 1) as process:
            if not options.keys_only:
                measure(process.pid, threads, options.seconds)
            measure_keys(process.pid, threads, options.rounds, options.rate)


if __name__ == "__main__":
    main()
