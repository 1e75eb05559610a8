"""How the screen keeps up: the real program in a pseudo-terminal, on targets with 10, 100 and 1,000 threads.

    python benchmarks/screen.py [--threads 10 100 1000] [--seconds 10] [--keys 60] [--rate 1000]

Prints the CPU of the screen (its main thread) and of the whole dashboard process, the bytes to the terminal, the time
from a key to what it draws (median, p95) while sampling at --rate, the time of one frame drawn without a terminal, and
the time to the first paint. By CPU time, so that other work on the machine disturbs little. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from common import TARGET, cpu_seconds, find, machine, row, target
from dashboard_cost import Terminal


def main_thread_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def key_latency(terminal: Terminal, number: int) -> list[float]:
    """Seconds from a key to the first byte that answers it. Down and up move the selection: both always draw.

    Bytes that would have come anyway can only make it look faster, so the key is pressed right behind a frame of data:
    the next one is a third of a second away.
    """
    found = []
    for press in range(number):
        quiet(terminal)
        before, start = terminal.received, time.monotonic()
        terminal.press("j" if press % 2 == 0 else "k")
        while terminal.received == before and time.monotonic() - start < 2:
            time.sleep(0.0005)
        found.append(time.monotonic() - start)
    return found


def quiet(terminal: Terminal) -> None:
    """Until a frame has just been sent: something arrived, and then nothing for 20 ms."""
    seen, deadline = terminal.received, time.monotonic() + 2
    while terminal.received == seen and time.monotonic() < deadline:
        time.sleep(0.002)
    while time.monotonic() < deadline:
        seen = terminal.received
        time.sleep(0.02)
        if terminal.received == seen:
            return


def measure(pid: int, threads: int, seconds: float, keys: int, rate: float) -> None:
    terminal = Terminal(pid, "--rate", "100")
    deadline = time.monotonic() + 30
    while not terminal.first_paint and time.monotonic() < deadline:
        time.sleep(0.01)
    row("first paint", f"{terminal.first_paint:.2f} s", "(goal below 0.5 s)")
    time.sleep(12)  # until the window of the rules is full
    for view, key in (("overview", "1"), ("threads", "2")):
        terminal.press(key)
        time.sleep(1)
        screen, whole, sent, start = (
            main_thread_seconds(terminal.pid), cpu_seconds(terminal.pid), terminal.received, time.monotonic(),
        )  # fmt: skip
        time.sleep(seconds)
        elapsed = time.monotonic() - start
        row(f"{view}, screen alone", f"{(main_thread_seconds(terminal.pid) - screen) / elapsed:.1%} of a core")
        row(f"{view}, with all analysis", f"{(cpu_seconds(terminal.pid) - whole) / elapsed:.1%} of a core",
            "(goal below 10 % at 100 threads)" if threads == 100 else "")  # fmt: skip
        row(f"{view}, to the terminal", f"{(terminal.received - sent) / elapsed / 1024:.1f} KiB/s")
    terminal.quit()
    terminal = Terminal(pid, "--rate", str(rate), "--budget", "50")
    time.sleep(8)
    terminal.press("2")
    time.sleep(1)
    found = sorted(key_latency(terminal, keys))
    row(f"key to paint at {rate:.0f} Hz", f"{statistics.median(found) * 1000:.0f} ms",
        f"p95 {found[int(0.95 * (len(found) - 1))] * 1000:.0f} ms (goal below 50)")  # fmt: skip
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
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1000.0)
    options = parser.parse_args()
    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None
    print(f"{machine()}\ntargets on Python {python.label}, 20 frames deep, terminal 160x50")
    for threads in options.threads:
        print(f"{threads} threads")
        frames(threads)
        with target(python.path, TARGET, threads, 20, 1) as process:
            measure(process.pid, threads, options.seconds, options.keys, options.rate)


if __name__ == "__main__":
    main()
