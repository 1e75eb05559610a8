"""`compare` of recordings of several processes: one process of each is meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import one_line, run

for _folder in ("session", "exporters"):
    sys.path.insert(0, str(Path(__file__).parents[1] / _folder))

import made  # noqa: E402
from test_several import several  # noqa: E402

from concview.commands.base import CommandError  # noqa: E402
from concview.commands.compare import _number  # noqa: E402


def test_one_of_several_is_named(tmp_path: Path) -> None:
    path, single = tmp_path / "tree.concview", made.write(tmp_path / "single.concview")
    several(path)
    # Numbers in the file are as they came; names stay the same before and after, pids do not.
    assert (_number(path, "service.py"), _number(path, "4242")) == (2, 2)
    assert _number(path, "worker 4250") == 1 and _number(single, None) == 0
    for name, file, text in (
        ("worker 9", path, "has no process"),
        (None, path, "which one"),
        ("x", single, "is of one"),
    ):
        with pytest.raises(CommandError, match=text):
            _number(file, name)
    one_line(run("compare", path, single), 2, "which one")
    one_line(run("check", single, "--baseline", path), 2, "which one")
