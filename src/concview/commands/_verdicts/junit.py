"""JUnit's XML: a test case for every rule; one that is clear passes, one that could not be judged is skipped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from concview.commands._verdicts.base import Checked, VerdictForm, relative
from concview.model import Finding
from concview.session.phrases import measured_text
from concview.snapshot import Snapshot
from concview.text import short_command

#: What XML 1.0 cannot hold, not even escaped: its readers give up the whole file.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(checked: Checked) -> str:
    root = ElementTree.Element("testsuites", name="concview")
    for number, snapshot in enumerate(checked.runs, 1):
        root.append(_suite(checked, snapshot, _suite_name(checked, number)))
    for what, reasons in (("not seen", checked.missed), ("not judged", checked.unjudged)):
        if reasons:
            suite = ElementTree.SubElement(root, "testsuite", name=f"concview: {what}")
            for number, why in enumerate(reasons, 1):
                case = _case(suite, "run", f"{what} {number}")
                kind = what.replace(" ", "-")
                ElementTree.SubElement(case, "error", message=_ok(why), type=kind).text = _ok(why)
            _count(suite)
    _count(root)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite_name(checked: Checked, number: int) -> str:
    if checked.processes:
        return f"concview {checked.processes[number - 1].name} {checked.processes[number - 1].pid}"
    return f"concview run {number}" if len(checked.runs) > 1 else "concview"


def _suite(checked: Checked, snapshot: Snapshot, name: str) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=name, time=f"{snapshot.elapsed_s:.3f}")
    target = snapshot.target
    about = {"engine": snapshot.engine, "samples": str(snapshot.samples), "ending": snapshot.ending}
    if target is not None:
        about |= {"pid": str(target.pid), "python": target.python, "command": " ".join(target.command)}
    if snapshot.blame is not None:
        about["verdict"] = snapshot.blame.sentence
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in about.items():
        ElementTree.SubElement(properties, "property", name=key, value=_ok(value))
    of = f"concview.{_ok(short_command(target.command)) if target is not None else 'process'}"
    judged: set[str] = set()
    names: set[str] = set()
    for finding in checked.of(snapshot):
        judged.add(finding.id)
        title = finding.id if finding.id not in names else f"{finding.id} {finding.subject}"
        names.add(finding.id)
        case = _case(suite, of, title)
        if checked.fail_on.fails(finding):
            # One failure a case: readers count failures, not cases.
            failure = ElementTree.SubElement(case, "failure", message=_ok(finding.title), type=finding.severity.value)
            failure.text = _ok(_told(finding))
        else:
            ElementTree.SubElement(case, "system-out").text = _ok(_told(finding))
    for rule in snapshot.clear:
        if rule not in judged:
            judged.add(rule)
            _case(suite, of, rule)
    for pending in snapshot.pending:
        if pending.id not in judged:
            judged.add(pending.id)
            why = f"not enough evidence: needs {pending.needs}"
            ElementTree.SubElement(_case(suite, of, pending.id), "skipped", message=_ok(why))
    for not_applicable in snapshot.not_applicable:
        if not_applicable.id not in judged:
            judged.add(not_applicable.id)
            enable = f" ({not_applicable.enable})" if not_applicable.enable else ""
            case = _case(suite, of, not_applicable.id)
            ElementTree.SubElement(case, "skipped", message=_ok(f"{not_applicable.why}{enable}"))
    _count(suite)
    return suite


def _case(suite: ElementTree.Element, of: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=of, name=_ok(name), time="0")


def _count(element: ElementTree.Element) -> None:
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for what, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(what, str(sum(case.find(tag) is not None for case in cases)))


def _told(finding: Finding) -> str:
    lines = [finding.summary, f"measured: {measured_text(finding.measured)}"]
    lines += [f"where: {w.function} ({relative(w.file)}:{w.line})" for w in finding.where]
    for stack in finding.stacks:
        lines.append(f"{stack.role}: {stack.name}")
        lines += [f"    {f.function} ({relative(f.file)}:{f.line})" for f in stack.frames[:12]]
    return "\n".join([*lines, f"why: {finding.why}", f"fix: {finding.fix}"])


def _ok(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


VERDICT = VerdictForm("every CI: a test case a rule", write)
