"""Demo workloads: one script per anti-pattern or lesson, each with a `bad` and a `fixed` variant.

A demo is a script for the *target's* interpreter, which may be older than concview's and knows nothing of it. So it
is never imported here: its metadata is read from its syntax tree.

A script holds a docstring (first line the title, the rest the story and what to look at) and two constants, `ID` and
`GROUP`; `NEEDS_SECONDS` says how long the bad variant takes until it can be recognised, `PRINTS` that it prints figures
of its own, `FREE_THREADED` that it shows what happens on builds without a GIL alone. It is run as
`PYTHON script.py bad|fixed [--seconds N]`, prints `ready` once it works, and ends with 0 on SIGTERM and SIGINT.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec

from concview.cpython.versions import DIRECT

#: The groups of the catalogue, in its order, and one for what is no anti-pattern but worth seeing.
LESSONS = "Lessons"
GROUPS: tuple[str, ...] = ("GIL and scheduler", "Locks", "Work distribution", "Async and I/O", LESSONS)
VARIANTS: tuple[str, ...] = ("bad", "fixed")


class Demo(msgspec.Struct, frozen=True):
    """One script."""

    id: str
    title: str
    group: str
    story: str
    path: str
    needs_seconds: float = 5.0
    prints: bool = False
    free_threaded: bool = False

    def command(self, variant: str, python: str = sys.executable, seconds: float = 0.0) -> list[str]:
        """The command line that runs one variant, for ever or for `seconds`."""
        if variant not in VARIANTS:
            raise ValueError(f"no such variant: {variant}")
        return [python, self.path, variant, *(["--seconds", f"{seconds:g}"] if seconds else [])]


def read(path: Path) -> Demo:
    """The metadata of one script. ValueError says what is missing."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    title, _, story = (ast.get_docstring(tree) or "").partition("\n")
    constants: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            constants.update({t.id: node.value.value for t in node.targets if isinstance(t, ast.Name)})
    name, group, needs = constants.get("ID"), constants.get("GROUP"), constants.get("NEEDS_SECONDS", 5.0)
    if not isinstance(name, str) or name.replace("-", "_") != path.stem:
        raise ValueError(f"{path.name}: ID must be the file's name with '-' for '_', not {name!r}")
    if not isinstance(group, str) or group not in GROUPS:
        raise ValueError(f"{path.name}: GROUP must be one of {', '.join(GROUPS)}")
    if not isinstance(needs, int | float) or not title or not story.strip():
        raise ValueError(f"{path.name}: needs a title, a story and, if any, a number as NEEDS_SECONDS")
    return Demo(
        name,
        title.rstrip("."),
        group,
        story.strip(),
        str(path),
        float(needs),
        constants.get("PRINTS") is True,
        constants.get("FREE_THREADED") is True,
    )


def is_free_threaded(python: str) -> bool:
    """Whether an interpreter was built without a GIL; asked of itself."""
    question = "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED'))"
    try:
        done = subprocess.run([python, "-I", "-c", question], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "1"


def interpreter_for(demo: Demo, python: str = sys.executable) -> str:
    """`python`, unless it is ours and the demo needs a build without a GIL: then the newest that PATH has. LookupError
    where there is none."""
    if not demo.free_threaded or is_free_threaded(python):
        return python
    ours = python == sys.executable
    on_path = (shutil.which(f"python3.{minor}t") for minor in range(DIRECT[1][1], 12, -1)) if ours else ()
    found = next((each for each in on_path if each and is_free_threaded(each)), None)
    if found is None:
        raise LookupError("no python3.13t or newer is on PATH" if ours else f"{python} has a GIL")
    return found


@cache
def demos() -> dict[str, Demo]:
    """Every demo by id, ordered by the catalogue's groups."""
    scripts = (p for p in Path(__file__).parent.glob("*.py") if p.name != "base.py" and not p.name.startswith("_"))
    found = sorted(map(read, scripts), key=lambda d: (GROUPS.index(d.group), d.id))
    return {d.id: d for d in found}
