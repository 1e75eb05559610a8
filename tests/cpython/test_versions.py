"""What differs between versions of CPython is data, and stands in one file: a new version is a row in each table."""

from __future__ import annotations

import ast
from pathlib import Path

from concview.cpython import offsets
from concview.cpython.offsets import NEWEST, OLDEST

PACKAGE = Path(offsets.__file__).parents[1]
#: Where a version is added (CONTRIBUTING.md).
PLACES = {"cpython/offsets.py", "cpython/versions.py"}


def test_every_table_reaches_to_the_newest_version() -> None:
    tables = {
        name: sorted(table)
        for name, table in vars(offsets).items()
        if isinstance(table, dict) and table and all(isinstance(k, tuple) and len(k) == 2 for k in table)
    }
    assert {"OPCODES", "ASYNCIO", "CONTEXT"} <= tables.keys()
    del tables["_WITHOUT_GIL"]  # of the newest no build without a GIL has been looked at
    for name, versions in tables.items():
        assert versions[-1] == NEWEST, name
        assert versions == [(3, minor) for minor in range(versions[0][1], NEWEST[1] + 1)], f"{name} has gaps"
    assert min(tables["ASYNCIO"]) == OLDEST


def test_nowhere_else_is_a_row_for_the_newest_version() -> None:
    """A comparison with it ("from 3.15 on") is the name of a feature; anything else would have to be extended."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        compared = {id(n) for c in ast.walk(tree) if isinstance(c, ast.Compare) for n in ast.walk(c)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Tuple) and id(node) not in compared and _value(node) == NEWEST:
                found.add(str(file.relative_to(PACKAGE)))
    assert found == PLACES


def test_what_a_version_does_otherwise_has_a_name() -> None:
    """`cpython/features.py` says since when; nobody else asks for a version."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            asked = any(isinstance(s, ast.Attribute | ast.Name) and ast.unparse(s).endswith("version") for s in sides)
            if asked and any(isinstance(s, ast.Tuple) for s in sides):
                found.add(str(file.relative_to(PACKAGE)))
    # What is run in targets stands alone; of the version itself the runtime's words tell from 3.11 on.
    assert {f for f in found if not f.startswith(("agent/", "demos/"))} == {"cpython/features.py", "cpython/runtime.py"}


def _value(node: ast.Tuple) -> tuple[object, ...]:
    return tuple(e.value if isinstance(e, ast.Constant) else None for e in node.elts)
