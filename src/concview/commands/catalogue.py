"""`concview catalogue [ID]`: the anti-patterns that are looked for, and one in full."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from concview.commands._output import json_text
from concview.commands.base import Command, CommandError, Exit

if TYPE_CHECKING:
    from concview.catalogue.base import Rule


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", help="one anti-pattern in full (default: all, in short)")
    parser.add_argument("--format", choices=["text", "md", "json"], default="text")


def run(options: argparse.Namespace) -> int:
    import difflib

    from concview import registry

    rules: dict[str, Rule] = {r.id: r for r in registry.everything("concview.catalogue.rules", "RULE").values()}
    rules = dict(sorted(rules.items(), key=lambda item: (_group_order(item[1].group), item[0])))
    if options.id is not None and options.id not in rules:
        near = difflib.get_close_matches(options.id, rules, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(rules)}"
        raise CommandError(f"no such anti-pattern: {options.id}", Exit.USAGE, hint)
    if options.format == "json":
        sys.stdout.write(_json(rules, options.id))
    elif options.format == "md":
        sys.stdout.write("\n".join(_markdown(r) for i, r in rules.items() if options.id in (None, i)))
    elif options.id is not None:
        sys.stdout.write(_text(rules[options.id]))
    else:
        sys.stdout.write(_list(rules))
    return Exit.FINE


def _group_order(group: str) -> int:
    from concview.demos.base import GROUPS

    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def _as_dict(rule: Rule) -> dict[str, Any]:
    from concview.catalogue.docs import documentation

    documented, limits = documentation(rule), rule.thresholds
    return {
        "id": rule.id,
        "title": rule.title,
        "group": rule.group,
        "summary": documented.summary,
        "measure": rule.measure,
        "info": limits.info,
        "warn": limits.warn,
        "unit": limits.unit,
        "source": limits.source,
        "needs": list(rule.needs),
        "sections": dict(documented.sections()),
    }


def _json(rules: dict[str, Rule], chosen: str | None) -> str:
    value = (
        _as_dict(rules[chosen]) if chosen is not None else {"schema": 1, "rules": [_as_dict(r) for r in rules.values()]}
    )
    return json_text(value)


def _list(rules: dict[str, Rule]) -> str:
    from concview.commands._groups import under_headings

    listed = under_headings((rule.group, rule.id, rule.title) for rule in rules.values())
    return f"{listed}\n'concview catalogue ID' shows one in full; 'concview demo ID' runs one\n"


def _text(rule: Rule) -> str:
    from concview.catalogue import lesson
    from concview.catalogue.docs import documentation
    from concview.commands._text_writer import Pen

    documented, pen = documentation(rule), Pen()
    pen.line(f"{rule.id}: {rule.title}", "1")
    pen.paragraph(documented.summary, "")
    pen.line()
    pen.paragraph(
        f"{lesson.thresholds(rule)}; {lesson.source(rule)}",
        label="threshold",
    )
    pen.paragraph(", ".join(rule.needs), label="needs")
    for heading, text in documented.sections():
        pen.line()
        pen.line(heading, "1")
        pen.paragraph(text)
    explained = lesson.letters(" ".join(text for _, text in documented.sections()))
    if explained:
        pen.line()
        pen.paragraph(explained)
    return pen.text()


def _markdown(rule: Rule) -> str:
    from concview.catalogue import lesson
    from concview.catalogue.docs import documentation

    documented = documentation(rule)
    parts = [
        f"## {rule.id}",
        f"**{rule.title}** ({rule.group}). {documented.summary}",
        f"{lesson.thresholds(rule)}; {lesson.source(rule)}.",
    ]
    parts += [part for heading, text in documented.sections() for part in (f"### {heading}", _code_fenced(text))]
    explained = lesson.letters(" ".join(text for _, text in documented.sections()))
    return "\n\n".join([*parts, *([f"({explained})"] if explained else [])]) + "\n"


def _code_fenced(text: str) -> str:
    """Indented lines are code: four columns make them so in Markdown."""
    return "\n".join("    " + line if line.startswith(" ") else line for line in text.splitlines())


COMMAND = Command(
    name="catalogue",
    summary="the anti-patterns that are looked for, and one in full",
    configure=configure,
    run=run,
    order=60,
)
