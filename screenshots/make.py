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
)


async def take(shot: Shot) -> None:
    demo = demos()[shot.demo]
    process = subprocess.Popen([sys.executable, str(demo.path), shot.variant], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        session = Session(LiveSource(process.pid))
        session.start()
        app = ConcviewApp(session=session)
        async with app.run_test(size=shot.size) as pilot:
            await asyncio.sleep(shot.seconds)
            for key in shot.keys:
                await pilot.press(key)
                await asyncio.sleep(0.5)
            await pilot.pause()
            picture = app.export_screenshot(title="concview", simplify=False)
    finally:
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
