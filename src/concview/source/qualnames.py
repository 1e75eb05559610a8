"""Qualified names of functions from a file's syntax tree: before 3.11 code objects have bare ones."""

from __future__ import annotations

import ast
import re
import warnings

_COMPREHENSIONS: dict[type[ast.AST], str] = {
    ast.ListComp: "<listcomp>",
    ast.SetComp: "<setcomp>",
    ast.DictComp: "<dictcomp>",
    ast.GeneratorExp: "<genexpr>",
}
#: A definition that begins a line and lies in no other one.
_OUTERMOST = re.compile(r"(?:async def|def|class)\s+(\w+)")


def qualnames(source: str) -> dict[tuple[str, int], str]:
    """(bare name, first line) of everything that has code of its own -> qualified name, as `__qualname__` has it."""
    found: dict[tuple[str, int], str] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    todo: list[tuple[ast.AST, str]] = [(tree, "")]
    while todo:
        node, prefix = todo.pop()
        for child in ast.iter_child_nodes(node):
            name = ""
            inside = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name, inner = child.name, "." if isinstance(child, ast.ClassDef) else ".<locals>."
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
            elif isinstance(child, ast.Lambda):
                name, inner, first = "<lambda>", ".<locals>.", child.lineno
            elif type(child) in _COMPREHENSIONS:
                name, inner = _COMPREHENSIONS[type(child)], "."
                first = child.lineno  # type: ignore[attr-defined]
            if name:
                found.setdefault((name, first), prefix + name)
                inside = prefix + name + inner
            todo.append((child, inside))
    return found


def outermost(line: str, name: str) -> bool:
    """Whether a line defines that function or class in no other one: then its qualified name is its name."""
    match = _OUTERMOST.match(line)
    return match is not None and match[1] == name
