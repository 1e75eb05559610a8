"""Saves what is on screen beside the person, never over an older file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from concview.tui.ports import Recordable


def recording(session: Recordable, pid: int, where: Path | None = None) -> tuple[Path, float]:
    """Writes the minutes in memory as `concview-PID-N.concview`; its name and seconds. OSError, LookupError."""
    folder = where or Path.cwd()
    number = 1
    while True:
        path = folder / f"concview-{pid}-{number}.concview"
        try:
            return path, session.save(path)
        except FileExistsError:
            number += 1


def save(svg: str, lines: Sequence[str], view: str, pid: int, where: Path | None = None) -> tuple[str, str]:
    """Writes `concview-PID-VIEW-N.svg` and `.txt`; their names. Raises OSError."""
    folder = where or Path.cwd()
    number = 1
    while True:
        stem = folder / f"concview-{pid}-{view}-{number}"
        picture, plain = stem.with_suffix(".svg"), stem.with_suffix(".txt")
        try:
            # 'x': two sessions in one folder must not overwrite each other.
            with picture.open("x", encoding="utf-8") as file:
                file.write(svg)
        except FileExistsError:
            number += 1
            continue
        plain.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(picture), str(plain)
