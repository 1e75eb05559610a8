"""What is kept of the screen from one time to the next: sort orders, columns, and the last view of a program.

One small file in `$XDG_STATE_HOME/concview` (~/.local/state without it). It is a convenience: whatever is wrong with
it, or with the folder, is no reason to fail and is not spoken of; who cannot write it forgets.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

#: Bytes of the file; a larger one is not ours.
MOST_BYTES = 65_536
#: Tables and columns of each; there are a dozen tables.
MOST_TABLES, MOST_COLUMNS = 100, 50
#: Seconds for which the last view of a program is remembered: who comes back goes on where he was; who is called to it
#: on another day sees the verdict first.
VIEW_S = 3600.0


class TableState(msgspec.Struct, frozen=True, omit_defaults=True):
    """'' and (): as the view has it."""

    sort: str = ""
    reversed: bool = False
    columns: tuple[str, ...] = ()


class ScreenState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`program` names the target that `view` was of; `at` in seconds of the epoch."""

    schema: int = 1
    program: str = ""
    view: str = ""
    at: float = 0.0
    tables: dict[str, TableState] = {}

    def view_of(self, program: str) -> str:
        """The view to begin with; '' for the first one."""
        fresh = 0 <= time.time() - self.at < VIEW_S
        return self.view if program and program == self.program and fresh else ""


def file(environment: Mapping[str, str] | None = None) -> Path | None:
    """Where it is kept; None where there is no home."""
    known = os.environ if environment is None else environment
    state = Path(known.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the specification: relative paths are ignored
        home = known.get("HOME", "")
        if not home:
            return None
        state = Path(home, ".local", "state")
    return state / "concview" / "screen.json"


def read(path: Path | None) -> ScreenState:
    """What was kept; nothing where it cannot be read or is not ours."""
    if path is None:
        return ScreenState()
    try:
        with path.open("rb") as content:
            raw = content.read(MOST_BYTES + 1)
        found = msgspec.json.decode(raw, type=ScreenState) if len(raw) <= MOST_BYTES else ScreenState()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ScreenState()
    return found if found.schema == 1 else ScreenState()


def write(path: Path | None, state: ScreenState) -> None:
    """Whole or not at all."""
    if path is None:
        return
    tables = dict(list(state.tables.items())[-MOST_TABLES:])
    tables = {n: msgspec.structs.replace(t, columns=t.columns[:MOST_COLUMNS]) for n, t in tables.items()}
    raw = msgspec.json.encode(msgspec.structs.replace(state, tables=tables, program=state.program[:200]))
    if len(raw) > MOST_BYTES:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_bytes(raw)
        part.replace(path)
