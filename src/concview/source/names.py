"""Names in a syntax tree: which scope a name belongs to, what was assigned to it, and whether it is a lock.

A lock's identity in source is its expression together with the scope that owns the expression's first name: the class
for `self.x`, the function for a local or a closure's variable, the file for a global.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

#: Constructors, wherever they come from: threading, _thread, multiprocessing, a manager.
LOCK_TYPES = frozenset(
    {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "LockType", "allocate_lock", "_allocate_lock"}
)
_ASYNC = frozenset({"asyncio", "anyio", "trio", "curio"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LOCK_WORDS = frozenset(
    {"lock", "lk", "lck", "mutex", "mtx", "cond", "condition", "condvar", "cv", "sem", "sema", "semaphore", "guard"}
)
#: 'lock_file' is a file, not a lock.
_THINGS = frozenset({"file", "path", "name", "dir", "timeout", "key", "id", "count", "time", "type", "fd", "info"})


def is_lock_name(name: str) -> bool:
    """`_lock`, `read_lock`, `iolock`, `lock1`, `stateMutex`; not `clock`, `block` or `lock_file`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _THINGS:
        return False
    return any(
        word in _LOCK_WORDS or (word.endswith("lock") and not word.endswith(("block", "clock", "deadlock", "unlock")))
        for word in words
        if word != "flock"
    )


class Scope:
    """A module, class or function, with what is assigned to its names (for a class: to its attributes)."""

    def __init__(self, kind: str, qualname: str, parent: Scope | None, body: Sequence[ast.stmt], node: ast.AST) -> None:
        self.kind = kind
        self.qualname = qualname
        self.parent = parent
        self.body = body
        self.first: int = getattr(node, "lineno", 1)
        self.last: int = getattr(node, "end_lineno", None) or 1 << 62
        #: name -> the expressions assigned, each with the scope it was written in; none for parameters and imports
        self.values: dict[str, list[tuple[ast.expr, Scope]]] = {}
        self.parameters: set[str] = set()
        self.outer: dict[str, str] = {}  #: names declared 'global' or 'nonlocal'
        self.bases: list[str] = []
        self.classes: dict[str, Scope] = {}  #: of a module: its top-level classes
        self.self_name = ""

    def owner(self, name: str) -> Scope:
        """The scope that a name used here belongs to; the module for what is bound nowhere."""
        scope: Scope = self
        while scope.parent is not None:
            declared = scope.outer.get(name)
            if declared == "global":
                return scope.module
            # A class body's names are its own: its methods do not see them
            if declared is None and name in scope.values and (scope.kind == "function" or scope is self):
                return scope
            scope = scope.parent
        return scope

    @property
    def module(self) -> Scope:
        scope: Scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def method_class(self, name: str) -> Scope | None:
        """The class when this is one of its methods and `name` is what it calls its instance."""
        is_self = bool(name) and name == self.self_name
        return self.parent if is_self and self.parent is not None and self.parent.kind == "class" else None


def scopes_of(tree: ast.Module) -> list[Scope]:
    """All scopes of a module, itself first. All assignments are known when this returns."""
    module = Scope("module", "<module>", None, tree.body, tree)
    scopes = [module]
    todo = [module]
    while todo:
        scope = todo.pop()
        blocks = [scope.body]
        while blocks:
            for statement in blocks.pop():
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    scope.values.setdefault(statement.name, [])
                    inner = _inner(statement, scope)
                    scopes.append(inner)
                    todo.append(inner)
                    continue
                _bind(statement, scope)
                for field in ("body", "orelse", "finalbody"):
                    block = getattr(statement, field, None)
                    if isinstance(block, list):
                        blocks.append(block)
                blocks += [part.body for part in getattr(statement, "handlers", ())]
                blocks += [part.body for part in getattr(statement, "cases", ())]
    return scopes


def _inner(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, parent: Scope) -> Scope:
    prefix = {"module": "", "class": f"{parent.qualname}."}.get(parent.kind, f"{parent.qualname}.<locals>.")
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    scope = Scope(kind, prefix + node.name, parent, node.body, node)
    if isinstance(node, ast.ClassDef):
        scope.bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        parent.classes[node.name] = scope
        return scope
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    for argument in [*positional, *arguments.kwonlyargs, *extra]:
        scope.parameters.add(argument.arg)
        scope.values[argument.arg] = _annotated(argument.annotation, scope)
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if parent.kind == "class" and positional and not static:
        scope.self_name = positional[0].arg
    return scope


def _annotated(annotation: ast.expr | None, scope: Scope) -> list[tuple[ast.expr, Scope]]:
    """An annotation tells as much as an assignment when it names a lock, and nothing otherwise."""
    return [(annotation, scope)] if annotation is not None and _makes_lock(annotation) else []


def _bind(statement: ast.stmt, scope: Scope) -> None:
    """Note what a statement assigns."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                _assign(target, value, scope)
        case ast.AnnAssign(target=target, value=value, annotation=annotation):
            found = _annotated(annotation, scope)
            _assign(target, found[0][0] if found else value, scope)
        case ast.For(target=target) | ast.AsyncFor(target=target):
            _assign(target, None, scope)
        case ast.With(items=items) | ast.AsyncWith(items=items):
            for item in items:
                if item.optional_vars is not None:
                    _assign(item.optional_vars, None, scope)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            for alias in names:
                scope.values.setdefault((alias.asname or alias.name).partition(".")[0], [])
        case ast.Global(names=declared):
            scope.outer.update(dict.fromkeys(declared, "global"))
        case ast.Nonlocal(names=declared):
            scope.outer.update(dict.fromkeys(declared, "nonlocal"))


def _assign(target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
    owner: Scope | None = None
    match target:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            for number, element in enumerate(elements):
                _assign(element, values[number] if len(values) == len(elements) else None, scope)
            return
        case ast.Name(id=name):
            declared = scope.outer.get(name)
            owner = scope if declared is None or scope.parent is None else scope.parent.owner(name)
            owner = scope.module if declared == "global" else owner
        case ast.Attribute(value=ast.Name(id=instance), attr=name):
            owner = scope.owner(instance).method_class(instance)
        case _:
            return
    if owner is not None:
        noted = owner.values.setdefault(name, [])
        if value is not None:
            noted.append((value, scope))


def _parts(node: ast.expr) -> tuple[str, list[str]]:
    """`self.pool.lock` -> ('self', ['pool', 'lock']); ('', ...) when it does not start with a name."""
    attributes: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return "", attributes[::-1]
    return node.id, attributes[::-1]


def _makes_lock(value: ast.expr) -> bool:
    """Whether an assigned expression mentions a lock type, or calls something named like a lock."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            root, attributes = _parts(node.func)
            if root not in _ASYNC and is_lock_name(attributes[-1] if attributes else root):
                return True
        if isinstance(node, ast.Name | ast.Attribute):
            root, attributes = _parts(node)
            if root not in _ASYNC and (attributes[-1] if attributes else root) in LOCK_TYPES:
                return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in LOCK_TYPES:
            return True
    return False


class Namer:
    """Judges and names lock expressions of one file."""

    def __init__(self, file: str) -> None:
        self.file = file

    def is_lock(self, node: ast.expr, scope: Scope) -> bool:
        """By what was assigned to it in this file; where nothing was, by its name."""
        call = isinstance(node, ast.Call)
        root, attributes = _parts(node)
        last = attributes[-1] if attributes else root
        if not root or (call and (last in LOCK_TYPES or _nested_call(node))):
            return False  # `with Lock():` guards nothing
        if call:
            return is_lock_name(last)
        if isinstance(node, ast.Subscript):  # one of a table of locks
            made = any(_makes_lock(value) for value, _ in self._values(node.value, scope))
            return made or is_lock_name(last.removesuffix("s"))
        values = [value for value, _ in self._values(node, scope)]
        if any(map(_makes_lock, values)):
            return True
        if any(isinstance(part, ast.Call) for value in values for part in ast.walk(value)):
            return False  # made by something that is no lock
        return is_lock_name(last)

    @staticmethod
    def is_one(node: ast.expr) -> bool:
        """Whether the expression stands for one lock: not for one of many chosen by a key or an argument."""
        for part in ast.walk(node):
            if isinstance(part, ast.Subscript) and not isinstance(part.slice, ast.Constant):
                return False
            if isinstance(part, ast.Call) and (part.args or part.keywords):
                return False
        return True

    def identity(self, node: ast.expr, scope: Scope, depth: int = 0) -> tuple[ast.expr, str]:
        """The lock an expression stands for, and the scope that makes it unique.

        A condition made over a lock is that lock: `Condition(self.mutex)` is `self.mutex`.
        """
        for value, written in self._values(node, scope):
            if depth < 3 and isinstance(value, ast.Call) and value.args:
                root, attributes = _parts(value.func)
                under = value.args[0]
                name, path = _parts(under)
                if (attributes[-1] if attributes else root) != "Condition" or isinstance(under, ast.Call) or not name:
                    continue
                if path or name not in written.parameters:
                    return self.identity(under, written, depth + 1)
        root, attributes = _parts(node)
        owner = scope.owner(root)
        of = owner.method_class(root)
        if of is not None and attributes:
            owner = self._definer(of, attributes[0])
        return node, self.file if owner.kind == "module" else f"{self.file}::{owner.qualname}"

    def made(self, node: ast.expr, scope: Scope) -> int:
        """Line of the one assignment in this file that makes the lock; 0 when there is none or more than one."""
        values = [value for value, _ in self._values(node, scope) if _makes_lock(value)]
        # An annotation tells what it is, not where it is made.
        lines = {v.lineno for v in values if any(isinstance(part, ast.Call) for part in ast.walk(v))}
        return lines.pop() if len(lines) == 1 else 0

    def _values(self, node: ast.expr, scope: Scope) -> list[tuple[ast.expr, Scope]]:
        """What was assigned to a name, or to an attribute of the instance."""
        if isinstance(node, ast.Name):
            return scope.owner(node.id).values.get(node.id, [])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = scope.owner(node.value.id)
            of = owner.method_class(node.value.id)
            if of is not None:
                return self._definer(of, node.attr).values.get(node.attr, [])
        return []

    def _definer(self, of: Scope, attribute: str) -> Scope:
        """The class of this file that assigns the attribute: `of` or the nearest of its bases; else `of`."""
        for candidate in _ancestry(of):
            if candidate.values.get(attribute):
                return candidate
        return of


def _nested_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and any(isinstance(part, ast.Call) for part in ast.walk(node.func))


def _ancestry(of: Scope) -> Iterator[Scope]:
    """A class and those of its bases that are top-level classes of the same file, nearest first."""
    known = of.module.classes
    seen: set[str] = set()
    todo = [of]
    while todo and len(seen) < 20:
        scope = todo.pop(0)
        if scope.qualname in seen:
            continue
        seen.add(scope.qualname)
        yield scope
        todo += [known[name] for name in scope.bases if name in known]
