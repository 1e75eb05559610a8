"""Makes every picture in this folder from the real dashboard on the real demos; nothing is drawn by hand.

    python screenshots/make.py [NAME ...]

Each shot starts a demo, attaches, waits until the window is full, presses the keys and exports what is on the screen.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from concview.demos.base import demos
from concview.session import LiveSource, Session
from concview.tui.app import ConcviewApp
from concview.tui.screens.comparison import Side

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Shot:
    name: str
    demo: str
    keys: tuple[str, ...] = ()
    variant: str = "bad"
    seconds: float = 12.0
    size: tuple[int, int] = (132, 38)


SHOTS = (
    Shot("overview", "lock-held-across-io"),
    Shot("finding", "lock-held-across-io", ("3",)),
    Shot("locks", "lock-held-across-io", ("4",)),
    Shot("threads", "gil-contention", ("2",)),
    Shot("gil", "gil-contention"),
    Shot("deadlock", "deadlock", ("3",)),
    Shot("event-loop", "blocked-event-loop"),
    Shot("flame", "gil-contention", ("7",)),
    Shot("healthy", "lock-held-across-io", variant="fixed"),
    Shot("small", "lock-held-across-io", size=(80, 24)),
    Shot("comparison", "lock-held-across-io", variant="both", seconds=16.0, size=(132, 30)),
    Shot("lesson", "lock-held-across-io", ("L",), size=(100, 30)),
)
#: What `variant="both"` shows side by side.
BOTH = ("bad", "fixed")


def _start(shot: Shot, variant: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(demos()[shot.demo].path), variant], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


async def take(shot: Shot) -> None:
    processes = [_start(shot, variant) for variant in (BOTH if shot.variant == "both" else (shot.variant,))]
    try:
        sessions = [Session(LiveSource(process.pid)) for process in processes]
        for session in sessions:
            session.start()
        if len(sessions) == 1:
            app = ConcviewApp(session=sessions[0])
        else:
            bad, fixed = (Side(*each) for each in zip(BOTH, sessions, strict=True))
            app = ConcviewApp(pair=(f"demo {shot.demo}", bad, fixed))
        async with app.run_test(size=shot.size) as pilot:
            await asyncio.sleep(shot.seconds)
            for key in shot.keys:
                await pilot.press(key)
                await asyncio.sleep(0.5)
            await pilot.pause()
            picture = app.export_screenshot(title="concview", simplify=False)
        for session in sessions:
            session.close()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    # The fonts would be fetched from a server when the picture is opened: the viewer's own monospace font will do.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    (HERE / f"{shot.name}.svg").write_text(picture)
    print(f"{shot.name}.svg", flush=True)


def main() -> None:
    wanted = set(sys.argv[1:])
    unknown = wanted - {s.name for s in SHOTS}
    if unknown:
        sys.exit(f"no such shot: {', '.join(sorted(unknown))} (there are {', '.join(s.name for s in SHOTS)})")
    for shot in SHOTS:
        if not wanted or shot.name in wanted:
            asyncio.run(take(shot))


if __name__ == "__main__":
    main()
