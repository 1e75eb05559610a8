"""What is read from outside, changed at random: nothing raises, hangs or takes much memory. The long form by hand:
benchmarks/fuzz.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"
_SPEC = importlib.util.spec_from_file_location("concview_fuzz", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("recordings", 60),
        ("settings", 300),
        ("commands", 2000),
        ("messages", 2000),
        ("tables", 500),
        ("sockets", 3000),
        ("cores", 400),
    ],
)
def test_nothing_raises(name: str, most: int) -> None:
    number, found = fuzz.run(name, seed=1, most=most)
    assert number == most and not found
