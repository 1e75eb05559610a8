"""Every rule is documented and described the same way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import msgspec
import pytest

from concview import registry
from concview.catalogue.base import Rule, task_twin_of, verdict_of
from concview.catalogue.docs import HEADINGS, documentation, parse
from concview.commands import _schema
from concview.demos.base import GROUPS, demos
from concview.model import CAPABILITIES

RULES = cast(dict[str, Rule], registry.everything("concview.catalogue.rules", "RULE"))


@pytest.mark.parametrize("name", RULES)
def test_metadata(name: str) -> None:
    rule = RULES[name]
    assert rule.id == name.replace("_", "-")
    assert rule.title and rule.measure
    assert rule.group in GROUPS
    assert set(rule.needs) <= set(CAPABILITIES)
    assert 0 < rule.thresholds.info <= rule.thresholds.warn
    assert rule.thresholds.unit
    assert re.match(r"\[[SDMH]\] .", rule.thresholds.source)
    assert not task_twin_of(rule) or task_twin_of(rule) in {other.id for other in RULES.values()}
    assert verdict_of(rule) in ("", "starved", "dormant")


@pytest.mark.parametrize("name", RULES)
def test_documentation(name: str) -> None:
    docs = documentation(RULES[name])
    assert [h for h, _ in docs.sections()] == list(HEADINGS)
    assert all(len(text) > 40 for _, text in docs.sections())
    assert "\n\n    " in docs.fix, "the fix has a code sketch"
    assert re.search(r"\[[SDMH][:;\]]", docs.measured), "thresholds name their source"
    assert docs.summary.endswith(".")


@pytest.mark.parametrize("name", RULES)
def test_has_a_demo_of_the_same_group(name: str) -> None:
    demo = demos()[RULES[name].id]
    assert demo.group == RULES[name].group


def test_paragraphs_flow_and_code_stays() -> None:
    text = "One.\n\n" + "\n".join(f"{h}:\n    a\n    b\n\n        code\n          more" for h in HEADINGS)
    assert parse(text, "x").fix == "a b\n\n    code\n      more"


def test_missing_sections_are_named() -> None:
    with pytest.raises(ValueError, match="lacks Why it hurts, How it is measured, Fix, When it is fine"):
        parse("One.\n\nWhat it sees:\n    a", "x")
    with pytest.raises(ValueError, match="order"):
        parse("One.\n" + "".join(f"\n{h}:\n    a\n" for h in reversed(HEADINGS)), "x")


@pytest.mark.parametrize("name", sorted(_schema.PUBLISHED))
def test_the_published_schema_is_that_of_the_program(name: str) -> None:
    """Of the JSON in which findings, and all else that is seen, are printed."""
    path = Path(__file__).resolve().parents[2] / "docs" / "schema" / f"{name}-{_schema.SCHEMA}.json"
    known = json.loads(msgspec.json.encode(_schema.json_schema(name)))
    assert json.loads(path.read_text()) == known, "run tools/make-schema"
