"""Commands to the collector, there and back."""

from __future__ import annotations

import pytest

from concview.control import (
    AttachAgent,
    BadCommand,
    Command,
    CountCalls,
    DetachAgent,
    SetBudget,
    StopCounting,
    decode,
    encode,
)


@pytest.mark.parametrize(
    "command", [SetBudget(2.5), AttachAgent(60.0), DetachAgent(), CountCalls("none", 7.0), StopCounting()]
)
def test_a_command_is_one_line_and_comes_back(command: Command) -> None:
    line = encode(command)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == command


@pytest.mark.parametrize(
    "line",
    [b"", b"budget 5", b"{}", b'{"do":"leap"}', b'{"do":"budget"}', b'{"do":"count-calls","clock":"sun"}', b"\xff"],
)
def test_what_is_no_command_is_said(line: bytes) -> None:
    with pytest.raises(BadCommand):
        decode(line)
