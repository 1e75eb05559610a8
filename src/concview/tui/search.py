"""What is typed into a filter, made into a question that rows can be asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Matcher = Callable[[Any], bool]
#: A pattern that a person types is short; a long one could be made to run for ever.
MOST_PATTERN = 100
#: So much of a row is searched by a pattern.
MOST_TEXT = 4_000


def matcher(
    typed: str, haystack: Callable[[Any], str], fields: Mapping[str, Callable[[Any], str]]
) -> tuple[Matcher | None, str]:
    """The question, None for everything; and what is wrong with it: a pattern that is not finished leaves all rows.

    'text' anywhere in a row · 'state:lock name:web' in its fields, all of them · '~web-[0-3]' a regular expression.
    """
    typed = typed.strip()
    if not typed:
        return None, ""
    if typed.startswith("~"):
        return _pattern(typed[1:], haystack)
    words = typed.lower().split()
    if any(word.partition(":")[0] in fields and ":" in word for word in words):
        asked = [_word(word, haystack, fields) for word in words]
        return (lambda row: all(ask(row) for ask in asked)), ""
    needle = typed.lower()
    return (lambda row: needle in haystack(row)), ""


def _word(word: str, haystack: Callable[[Any], str], fields: Mapping[str, Callable[[Any], str]]) -> Matcher:
    name, colon, rest = word.partition(":")
    look = fields.get(name) if colon else None
    if look is None:
        return lambda row: word in haystack(row)
    return lambda row: rest in look(row)


def _pattern(source: str, haystack: Callable[[Any], str]) -> tuple[Matcher | None, str]:
    if not source:
        return None, ""
    if len(source) > MOST_PATTERN:
        return None, "pattern too long"
    try:
        pattern = re.compile(source, re.IGNORECASE)
    except re.error as error:
        return None, f"pattern: {error.msg}"
    return (lambda row: pattern.search(haystack(row)[:MOST_TEXT]) is not None), ""
