"""What a person reads of a rule explains itself."""

from __future__ import annotations

import re

import pytest

from concview import registry
from concview.catalogue import lesson
from concview.catalogue.base import Rule
from concview.catalogue.docs import documentation

RULES: dict[str, Rule] = registry.everything("concview.catalogue.rules", "RULE")


def test_letters_are_explained_wherever_they_stand_in_brackets() -> None:
    said = lesson.letters("Thresholds 1 and 2 [M: 0.4 ms, 3.11; H where to begin], of lists [1:2] and queues [S].")
    assert [part[:3] for part in said.split("; ")] == ["[S]", "[M]", "[H]"]


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_letter_of_a_rule_is_explained(name: str) -> None:
    text = " ".join(words for _, words in documentation(RULES[name]).sections())
    used = {letter for letter in "SDMH" if re.search(rf"(?:\[|\[[^\]]*; ){letter}[:;\] ]", text)}
    assert {part[1] for part in lesson.letters(text).split("; ") if part} == used
