"""A forked child is looked at while it may end at any moment."""

from __future__ import annotations

from typing import Any

import pytest

from concview.collector import forks
from concview.engines.pyspy import PySpyFailed
from concview.errors import Code, NotPermitted, TargetGone
from concview.model import Target


@pytest.mark.parametrize(
    "failure",
    [
        PySpyFailed("process 7 is gone", "start it again", Code.NO_SUCH_PROCESS),
        NotPermitted("no", ""),
        TargetGone("exited"),
        ProcessLookupError(),
    ],
)
def test_a_child_that_cannot_be_read_has_no_stack(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise failure

    monkeypatch.setattr(forks.DirectEngine, "probe", fail)
    copy = forks.Copy(7, 1, 1, 1)
    assert forks._main_stack(Target(1, "3.8.18", (), 0.0), copy) == ()
