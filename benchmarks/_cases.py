"""Programs whose cause is known: what the verdict says of them, beside what they expect."""

from __future__ import annotations

import ast
from collections.abc import Container
from pathlib import Path

from concview.snapshot import Blame

FOLDER = Path(__file__).resolve().parent / "cases"
#: Written by somebody who had not read the rules, and looked at once before anything was changed for them.
UNSEEN = FOLDER.parent / "unseen"


def expected(path: Path) -> str:
    """Its EXPECT: 'held up: permit' (the verdict, and what the largest held-up cause waits for), 'stuck by deadlock'
    (the verdict, and the rule that names it), 'any' for whatever verdict; 'stuck' (the verdict alone), 'named deadlock'
    (by that rule), 'says WORDS' (the verdict, or what is said beside it), 'quiet' (nothing is to be said); one ' or '
    another."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "EXPECT" for t in node.targets):
            return str(ast.literal_eval(node.value))
    raise ValueError(f"{path.name}: no EXPECT")


def programs() -> list[Path]:
    return [p for folder in (FOLDER, UNSEEN) for p in sorted(folder.glob("*.py")) if not p.name.startswith("_")]


def right(wanted: str, blame: Blame | None, fired: Container[str] = ()) -> bool:
    return any(_right(one, blame, fired) for one in wanted.split(" or "))


def _right(wanted: str, blame: Blame | None, fired: Container[str]) -> bool:
    if wanted.startswith("named "):
        return wanted.removeprefix("named ") in fired
    if blame is None:
        return False
    if wanted.startswith("says "):
        return any(wanted.removeprefix("says ") in said for said in (blame.sentence, *blame.more))
    if wanted == "quiet":
        return blame.severity is None
    verdict, by, rule = wanted.partition(" by ")
    if by:
        return verdict in ("any", blame.verdict) and (blame.rule == rule or any(c.rule == rule for c in blame.causes))
    verdict, _, via = wanted.partition(": ")
    if verdict not in ("any", blame.verdict):
        return False
    if not via:
        return True
    return any(c.path and c.path[0].via == via and c.kind != "unexplained" for c in blame.causes[:2])


def told(blame: Blame | None) -> str:
    """'held up 61 %: permit permits <- sleep, exact 97 %, unexplained 0.0 %'."""
    if blame is None:
        return "nothing"
    top = next((c for c in blame.causes if c.path), None)
    way = " <- ".join([*(f"{s.via} {s.what}" for s in top.path), top.kind]) if top is not None else "-"
    share = blame.share(blame.held_up if blame.verdict == "held up" else blame.waits)
    return (
        f"{blame.verdict} {share * 100:.0f} %: {way}, exact {blame.exact * 100:.0f} %, unexplained "
        f"{blame.share(blame.unexplained) * 100:.1f} %"
    )
