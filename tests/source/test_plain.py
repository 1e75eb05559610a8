"""Files are parsed only where a function that is asked for may be about locks: the answers are the same."""

from __future__ import annotations

import ast
import asyncio.base_events
import asyncio.locks
import concurrent.futures.thread
import queue
import subprocess
import threading
import types
from pathlib import Path

import pytest

from concview.source.facts import Facts, SourceFacts


@pytest.mark.parametrize(
    "module", [asyncio.base_events, asyncio.locks, queue, threading, concurrent.futures.thread, subprocess]
)
def test_a_file_that_is_not_parsed_says_the_same(module: types.ModuleType) -> None:
    file = str(module.__file__)
    # Every line of every function, by its qualified name, as frames have it.
    asked: list[tuple[str, int]] = []

    def collect(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                own = {n.lineno for s in child.body for n in ast.walk(s) if isinstance(n, ast.expr | ast.stmt)}
                asked.extend((name, line) for line in sorted(own))
                collect(child, f"{name}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                collect(child, f"{prefix}{child.name}.")
            else:
                collect(child, prefix)

    collect(ast.parse(Path(file).read_text()), "")
    started = Path(file).stat().st_ctime + 100
    parsed = SourceFacts(None, started)
    source = parsed._source(file)
    source.index(file)  # parsed beforehand: nothing is passed over
    untouched = type(source)(source.stamp, "\n".join(source.lines))
    plain = [(name, line) for name, line in asked if untouched.plain(line)]
    for name, line in plain:
        found = parsed.lookup(name, file, line)
        assert found == Facts(found.text, found.origin), (name, line)
    assert plain
