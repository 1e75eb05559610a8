"""A refusal is decided by its code; its words are for people."""

from __future__ import annotations

import io
import json

import pytest

from concview.collector import loop
from concview.collector.loop import Collector
from concview.cpython import offsets
from concview.engines.base import Probe
from concview.engines.pyspy.failures import explain
from concview.errors import CannotAttach, Code, Refusal, TargetError, Unsupported, code_of
from concview.session import AttachError, LiveSource


@pytest.mark.parametrize(
    ("why", "code", "exit_code"),
    [
        ("the lock on its memory holds", Code.NOT_PERMITTED, 3),
        ("Python 3.7 has no permission bits that anybody could be denied", Code.UNSUPPORTED, 4),
        ("py-spy is not installed", Code.MISSING, 4),
    ],
)
def test_the_exit_code_comes_from_the_code(
    why: str, code: Code, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Probe.refused("direct", Refusal(why, "do this", code))
    monkeypatch.setattr(loop, "choose", lambda *_: (None, refused))
    monkeypatch.setattr(loop.discovery, "describe", lambda pid: None)
    with pytest.raises(CannotAttach) as caught:
        Collector(1, "auto", 100.0, 5.0).begin(io.BytesIO())
    assert caught.value.refusal == Refusal(why, "do this", code)
    assert caught.value.exit_code == exit_code


def test_what_the_collector_says_arrives_with_its_code() -> None:
    source = LiveSource(2**22 + 1)
    source.open()
    try:
        with pytest.raises(AttachError) as caught:
            list(source.blocks())
    finally:
        source.close()
    assert (caught.value.code, caught.value.exit_code) == (Code.NO_SUCH_PROCESS, 4)
    assert json.loads(source._errors[-1])["code"] == "no-such-process"


def test_one_tree() -> None:
    assert offsets.Unsupported is Unsupported and issubclass(AttachError, TargetError)
    assert issubclass(type(explain("", 1, "0.4")), TargetError)
    assert explain("Error: Permission Denied (os error 13)", 1, "0.4").code is Code.NOT_PERMITTED
    assert explain("Error: Unsupported version of Python: 3.99", 1, "0.4").code is Code.UNSUPPORTED
    assert (code_of("busy"), code_of("nonsense"), code_of(None)) == (Code.BUSY, Code.UNKNOWN, Code.UNKNOWN)
    assert AttachError("it did not start", code=Code.FAILED).exit_code == 70
