"""A rule's documentation: parsed from its module's docstring, which is the only place where it is written.

The first line is the rule in one sentence. Each section begins with its heading and a colon on a line of its own and
is indented below it; what is indented further (code) keeps its lines.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from dataclasses import dataclass
from functools import cache

from concview.catalogue.base import Rule

HEADINGS = ("What it sees", "Why it hurts", "How it is measured", "Fix", "When it is fine")
_HEADING = re.compile(rf"^({'|'.join(HEADINGS)}):$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Documentation:
    summary: str
    sees: str
    why: str
    measured: str
    fix: str
    fine: str

    def sections(self) -> tuple[tuple[str, str], ...]:
        """(heading, text) in the fixed order."""
        return tuple(zip(HEADINGS, (self.sees, self.why, self.measured, self.fix, self.fine), strict=True))


def documentation(rule: Rule) -> Documentation:
    """ValueError names what is missing."""
    return _of(type(rule).__module__)


@cache
def _of(module: str) -> Documentation:
    return parse(inspect.cleandoc(importlib.import_module(module).__doc__ or ""), module)


def parse(text: str, name: str) -> Documentation:
    """The sections of one docstring, already cleaned of its indentation."""
    parts = _HEADING.split(text)
    found = dict(zip(parts[1::2], (_flow(textwrap.dedent(p).strip("\n")) for p in parts[2::2]), strict=True))
    missing = [h for h in HEADINGS if not found.get(h)]
    if missing or not parts[0].strip():
        raise ValueError(f"{name}: the docstring lacks {', '.join(missing) or 'its first line'}")
    if list(found) != list(HEADINGS):
        raise ValueError(f"{name}: the headings are not in the fixed order")
    return Documentation(_flow(parts[0].strip()), *(found[h] for h in HEADINGS))


def _flow(text: str) -> str:
    """Paragraphs on one line each, so that a view can wrap them; indented lines as they are."""
    out: list[str] = []
    joinable = False
    for line in text.splitlines():
        plain = bool(line.strip()) and not line.startswith((" ", "- "))
        if plain and joinable:
            out[-1] += " " + line.strip()
        else:
            out.append(line.rstrip())
        joinable = plain or line.startswith("- ")
    return "\n".join(out).strip("\n")
