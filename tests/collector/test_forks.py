"""A forked child is looked at while it may end at any moment."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest

from concview.collector import forks, loop
from concview.engines.base import Probe
from concview.engines.direct import engine as engine_module
from concview.engines.pyspy import PySpyFailed
from concview.errors import CannotAttach, Code, NotPermitted, TargetGone
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


def test_a_child_that_ends_while_it_is_opened_has_no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise TargetGone("exited")

    monkeypatch.setattr(engine_module, "find", gone)
    usable = Probe("direct", True, "3.12.1")
    monkeypatch.setattr(forks.DirectEngine, "probe", classmethod(lambda *_: usable))
    me = os.getpid()
    assert forks._main_stack(Target(me, "3.12.1", (), 0.0), forks.Copy(me, 1, 1, 1)) == ()


def test_a_target_that_ends_while_it_is_attached_to_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> Any:
        raise TargetGone("exited")

    monkeypatch.setattr(loop.CounterReader, "poll", gone)
    with pytest.raises(CannotAttach, match="gone") as refused:
        loop.Collector(os.getpid(), "direct", 10.0, 5.0).begin(io.BytesIO())
    assert refused.value.code is Code.NO_SUCH_PROCESS
