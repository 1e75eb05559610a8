"""Taking text away: to whoever takes it, and to a file wherever it cannot be known that somebody did.

A terminal is asked by an escape sequence (OSC 52) and never answers; inside tmux that often does not get through, but
tmux itself takes text and can pass it on. Programs of the desktop say whether they took it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

#: Seconds that a program may take.
PATIENCE_S = 2.0
#: (program, its arguments, what must be in the environment) of those that tell by their exit code.
_DESKTOP = (
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
)
#: Terminals that are known to take no such sequence.
_DEAF = ("linux", "dumb", "vt100", "vt220", "")


def take(
    text: str,
    stem: str,
    osc52: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    suffix: str = ".md",
) -> str:
    """Puts `text` where it can be pasted from; what was done, in a sentence. `stem`: of the file. `osc52` asks the
    terminal. May take seconds."""
    known = os.environ if environment is None else environment
    for program, options, needs in _DESKTOP:
        if known.get(needs) and _given(program, options, text, known):
            return f"copied, by {program}"
    if known.get("TMUX"):
        # -w: tmux passes it on to its own terminal's clipboard; versions before 3.2 do not know that.
        ways: tuple[tuple[tuple[str, ...], bool], ...] = (
            (("load-buffer", "-w", "-"), True),
            (("load-buffer", "-"), False),
        )
        for arguments, passed in ways:
            if _given("tmux", arguments, text, known):
                more = "; it was asked to pass it on to the terminal's clipboard" if passed else ""
                return f"in tmux's paste buffer (prefix ] pastes it){more}"
    file = save(text, stem, folder, suffix)
    where = f"saved as {file}" if file is not None else "no file could be written here either"
    if known.get("TERM", "") in _DEAF or known.get("STY"):
        return f"this terminal takes no copies: {where}"
    osc52(text)
    return f"sent to the terminal, which does not say whether it took it; {where}"


def _given(program: str, arguments: tuple[str, ...], text: str, environment: Mapping[str, str]) -> bool:
    path = shutil.which(program, path=environment.get("PATH"))
    if path is None:
        return False
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # xclip stays behind to serve the text: it must not keep our pipes.
        done = subprocess.run(
            [path, *arguments], input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S, env=dict(environment), start_new_session=True,
        )  # fmt: skip
        return done.returncode == 0
    return False


def save(text: str | bytes, stem: str, folder: Path | None = None, suffix: str = ".md") -> Path | None:
    """Writes `stem-N.md` beside the person, never over an older file; None where that cannot be."""
    number = 1
    content = text.encode() if isinstance(text, str) else text
    while number < 10_000:
        path = (folder or Path.cwd()) / f"{stem}-{number}{suffix}"
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            number += 1
            continue
        except OSError:
            return None
        return path
    return None
