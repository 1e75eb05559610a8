"""Opening a source file at a line in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from textual.app import App, SuspendNotSupported

#: Editors that do not understand `+LINE FILE`.
_COLON = ("code", "codium", "code-insiders", "cursor", "subl", "hx", "helix", "zed")


def command(editor: str, file: str, line: int) -> list[str]:
    """The command line. ValueError when EDITOR cannot be split into words."""
    words = shlex.split(editor)
    if not words:
        raise ValueError("empty")
    name = Path(words[0]).name
    if name in _COLON:
        goto = ["--goto"] if name.startswith("code") or name == "cursor" else []
        return [*words, *goto, f"{file}:{line}"]
    return [*words, f"+{max(1, line)}", file]


def open_source(app: App[None], file: str, line: int) -> str:
    """Suspend the dashboard and open the file. What to tell the person when that is not possible, else ''."""
    editor = os.environ.get("EDITOR", "").strip()
    if not editor:
        return "EDITOR is not set; export EDITOR=vim, for example, and start concview again"
    # An absolute path also cannot be taken for an option of the editor.
    if not Path(file).is_absolute() or not Path(file).is_file():
        return f"there is no file {file} here" if file else "there is no source file of it"
    try:
        words = command(editor, file, line)
        with app.suspend():
            subprocess.run(words, check=False)
    except SuspendNotSupported:
        return "this terminal cannot be lent to an editor"
    except (OSError, ValueError) as error:
        return f"EDITOR ({editor}) cannot be started: {getattr(error, 'strerror', None) or error}"
    return ""
