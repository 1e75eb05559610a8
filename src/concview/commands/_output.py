"""What is written to standard output and error, where those cannot write everything.

A pipe may be ASCII or latin-1 (PYTHONIOENCODING, an old locale). Text then has our symbols in ASCII, and '?' for what
else cannot be written: names from the target. JSON loses nothing: it escapes.
"""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path
from typing import Any, TextIO

HANDLER = "concview-ascii"
#: As the name of a file that is written: standard output.
STDOUT = "-"
#: Our own symbols; of anything else nothing is left but '?'.
GLYPHS = {
    "▲": "^", "●": "*", "✓": "+", "✗": "x", "·": "-", "…": "...", "µ": "u", "²": "2", "×": "x", "→": "->",
    "─": "-", "│": "|", "├": "+", "└": "+", "┌": "+", "▶": ">", "▸": ">", "↻": "@",
}  # fmt: skip
#: Chosen by the user or by Python for this stream: these fail at nothing.
_HARMLESS = ("replace", "backslashreplace", "xmlcharrefreplace", "namereplace", "ignore")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(GLYPHS.get(c, "?") for c in wrong), error.end


def write_anything(*streams: TextIO | Any) -> None:
    """From here on writing text to these fails at no character."""
    codecs.register_error(HANDLER, _replace)
    for stream in streams:
        if getattr(stream, "errors", None) not in (*_HARMLESS, None) and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def shown(path: Path) -> str:
    """A file that is written, for people."""
    return "standard output" if str(path) == STDOUT else str(path)


def stdout() -> int:
    """The descriptor of standard output, for a file. CommandError where that is a terminal."""
    from concview.commands.base import CommandError, Exit

    if sys.stdout is None or sys.stdout.isatty():
        raise CommandError("-o -: standard output is a terminal", Exit.USAGE, "name a file, or pipe it somewhere")
    sys.stdout.flush()
    return sys.stdout.fileno()


def json_text(value: Any) -> str:
    """Indented JSON with a final newline; escaped where standard output could not write it as it is."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return re.sub(r"[^\x00-\x7f]", _escape, text)
    return text


def _escape(match: re.Match[str]) -> str:
    """JSON's own escape: UTF-16, so one beyond the first plane has two."""
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
