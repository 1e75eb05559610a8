"""SARIF 2.1.0: code scanning of GitHub and GitLab, editors, sarif-tools."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from concview import __version__
from concview.commands._verdicts.base import Checked, Repeated, VerdictForm, relative
from concview.model import Finding, Severity, StackEvidence, Where
from concview.text import clean

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_FRAMES = 30


def write(checked: Checked) -> str:
    found = checked.findings
    rules = list(dict.fromkeys(r.finding.id for r in found))
    run: dict[str, Any] = {
        "tool": {
            "driver": {"name": "concview", "version": __version__, "rules": [_rule(rule, found) for rule in rules]}
        },
        "originalUriBaseIds": {"SRCROOT": {"uri": f"file://{quote(str(Path.cwd()).rstrip('/'))}/"}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(checked)],
        "results": [_result(r, rules.index(r.finding.id)) for r in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: str, found: list[Repeated]) -> dict[str, Any]:
    finding = next(r.finding for r in found if r.finding.id == rule)
    return {
        "id": rule,
        "shortDescription": {"text": rule.replace("-", " ").capitalize()},
        "fullDescription": {"text": finding.why},
        "help": {"text": f"{finding.why}\n\nconcview catalogue {rule}"},
        "defaultConfiguration": {"level": "warning"},
    }


def _invocation(checked: Checked) -> dict[str, Any]:
    """What was looked at and what could not be judged: a reader of a file without results must know that."""
    said = []
    for snapshot in checked.runs:
        if snapshot.blame is not None:
            said.append(("note", snapshot.blame.sentence))
        said += [
            ("note", f"{n.id} was not judged: {n.why}" + (f" ({n.enable})" if n.enable else ""))
            for n in snapshot.not_applicable
        ]
        said += [("note", f"{p.id} was not judged: needs {p.needs}") for p in snapshot.pending]
    said += [("error", f"not seen: {why}") for why in checked.missed]
    said += [("error", f"not judged: {why}") for why in checked.unjudged]
    return {
        "executionSuccessful": bool(checked.runs) and not checked.missed and not checked.unjudged,
        "toolExecutionNotifications": [{"level": level, "message": {"text": text}} for level, text in said],
    }


def _result(repeated: Repeated, index: int) -> dict[str, Any]:
    finding = repeated.finding
    # The words that readers know; one that they do not know disappears there without a word.
    level = "error" if repeated.fails else "warning" if finding.severity is Severity.WARN else "note"
    names = [s.name for s in finding.stacks]
    locations = [_location(w, names) for w in finding.where[:1]]
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": index,
        "level": level,
        "message": {"text": f"{finding.title}. {finding.summary}\n\n{finding.fix}"},
        "locations": locations,
        "relatedLocations": [{"id": i, **_location(w, [])} for i, w in enumerate(finding.where[1:], 1)],
        "stacks": [_stack(s) for s in finding.stacks],
        "partialFingerprints": {"concview/v1": _fingerprint(finding)},
        "occurrenceCount": len(repeated.runs),
        "rank": float(finding.score),
        "properties": {
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
            "measured": finding.measured.name,
            "value": finding.measured.value,
            "unit": finding.measured.unit,
            "recent": finding.recent,
            "runs": list(repeated.runs),
        },
    }
    return result


def _fingerprint(finding: Finding) -> str:
    """The same for the same problem in another run; a line that moves changes nothing."""
    rule, file, function = finding.identity
    return hashlib.sha256("\0".join((rule, relative(file), function)).encode("utf-8", "replace")).hexdigest()


def _physical(file: str, line: int) -> dict[str, Any]:
    path = relative(file)
    if path.startswith("/"):
        artifact: dict[str, Any] = {"uri": f"file://{quote(path)}"}
    else:  # of the project, or of no file at all: '<string>', 'app.py' of a program started elsewhere
        artifact = {"uri": quote(path), "uriBaseId": "SRCROOT"}
    return {"artifactLocation": artifact, "region": {"startLine": max(1, line)}}


def _location(where: Where, threads: list[str]) -> dict[str, Any]:
    logical = [{"name": clean(where.function, 200), "kind": "function"}]
    logical += [{"name": name, "kind": "thread"} for name in dict.fromkeys(threads)]
    return {"physicalLocation": _physical(where.file, where.line), "logicalLocations": logical}


def _stack(stack: StackEvidence) -> dict[str, Any]:
    frames = [
        {"location": {**_location(Where(f.file, f.line, f.function), []), "message": {"text": f.text or f.function}}}
        for f in stack.frames[:MOST_FRAMES]
    ]
    return {"message": {"text": f"{stack.role}: {stack.name}"}, "frames": frames}


VERDICT = VerdictForm("code scanning, editors, sarif-tools", write)
