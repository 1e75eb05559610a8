"""Untrusted strings cannot act on a terminal; numbers read well."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concview import text


@given(st.text(max_size=600) | st.text(st.characters(categories=["Cc", "Cf", "Cs"]), max_size=50))
def test_clean_leaves_nothing_a_terminal_could_act_on(raw: str) -> None:
    got = text.clean(raw)
    assert len(got) <= text.MAX_LENGTH * 6
    bad = {c for c in got if unicodedata.category(c) in ("Cc", "Cs") or c in "\u202e\u2066\u200f\u2028"}
    assert not bad
    got.encode()
    assert text.clean(got, 10_000) == got


def test_clean_keeps_different_names_different() -> None:
    assert text.clean("a\x1b[31m") == "a\\x1b[31m"
    assert text.clean("a\x1b") != text.clean("a\x07")
    assert text.clean("käse 猫 [/red]") == "käse 猫 [/red]"
    assert text.clean("x" * 10_000).endswith("…")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0000123, "12 µs"),
        (0.0052, "5.2 ms"),
        (0.34, "340 ms"),
        (1.25, "1.2 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"), [(7, "7"), (1234, "1.2k"), (3.4e6, "3.4M"), (0.25, "0.2"), (250_000, "250k")]
)
def test_count(value: float, words: str) -> None:
    assert text.count(value) == words


def test_size_and_paths() -> None:
    assert text.size(12 << 10) == "12 KiB"
    assert text.size(3.4 * (1 << 30)) == "3.4 GiB"
    assert text.short_path("/a/very/long/path/to/some/module/cache.py", 20).endswith("module/cache.py")
