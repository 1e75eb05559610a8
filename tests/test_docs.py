"""What the documents name is there: links, files, packages, commands, rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from concview import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "concview"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def _named(document: str) -> set[str]:
    """The files and folders that a document names: `catalogue/judge.py`, `tui/`; capitals stand for anything."""
    words = re.findall(r"`([\w./*-]+)`", (ROOT / document).read_text("utf-8"))
    return {
        w for w in words if ("/" in w or w.endswith((".py", ".md", ".toml", ".txt"))) and not w.startswith(("/", "-"))
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if not t.startswith(("http", "#"))]
    assert not [t for t in targets if not (document.parent / t).exists()]


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(document: str) -> None:
    missing = []
    for word in sorted(_named(document)):
        pattern = re.sub(r"[A-Z]{2,}", "*", word).rstrip("/")
        if not any(ROOT.glob(pattern)) and not any(PACKAGE.rglob(pattern)):
            missing.append(word)
    assert not missing


def test_every_package_has_its_line_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    packages = [p.parent.name for p in PACKAGE.glob("*/__init__.py")]
    assert not [name for name in packages if not re.search(rf"\b{name}\b", text)]


def test_the_readme_lists_every_command() -> None:
    table = (ROOT / "README.md").read_text("utf-8")
    told = {m for line in table.splitlines() if line.startswith("| `concview") for m in re.findall(r"[a-z]+", line)}
    assert not [name for name in registry.names("concview.commands") if name not in told]


def test_rules_that_the_readme_names_exist() -> None:
    rules = {rule.id for rule in registry.everything("concview.catalogue.rules", "RULE").values()}
    # Symptom, where to look, rules: words with a hyphen, so that the heading and shorter tables are none.
    rows = re.findall(r"^\| .* \| .* \| ([a-z, -]+-[a-z, -]+) \|$", (ROOT / "README.md").read_text("utf-8"), re.M)
    named = {name for row in rows for name in row.split(", ")}
    assert len(named) > 10 and not named - rules


def test_every_metric_has_its_row() -> None:
    """`..._capacity` behind `concview_queue_items` stands for `concview_queue_capacity`."""
    text = (ROOT / "docs" / "prometheus.md").read_text("utf-8")
    source = (PACKAGE / "fleet" / "metrics.py").read_text("utf-8")
    metrics = set(re.findall(r'\(\s*"([a-z_]+)",\s*f?"[A-Z0-9]', source))
    rows = [re.findall(r"`(concview_|\.\.\._)([a-z_]+)", line) for line in text.splitlines()]
    told: set[str] = set()
    for row in rows:
        first = next((name for start, name in row if start == "concview_"), "")
        stems = [first[:at] for at in range(len(first)) if first[at] == "_"]
        for start, name in row:
            told |= {name} if start == "concview_" else {f"{stem}_{name}" for stem in stems}
    told = {name.removesuffix("_total") for name in told}
    assert len(metrics) > 30 and not metrics - told
