"""Every format from one recording with hostile names: it parses, nothing is lost, the state is a dimension.

The real readers are in tests/readers; what is checked here are the traps that they have, seen with them.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import made
import pytest
from wire import fields, numbers, one

from concview import registry
from concview.analysis.samples import Selection
from concview.exporters.base import Exporter, Nothing, Request
from concview.model import STATES, State
from concview.session.recording import Recording

EXPORTERS: dict[str, Exporter] = registry.everything("concview.exporters", "EXPORTER")


def exported(name: str, recording: Path, request: Request | None = None) -> bytes:
    out = recording.with_name(f"out.{name}")
    exporter = EXPORTERS[name]
    groups = exporter.groups[0] if exporter.groups else ""
    with out.open("wb") as file:
        exporter.write(Recording(recording), file, request or Request(group_by=groups))
    return out.read_bytes()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write(tmp_path_factory.mktemp("formats") / "hostile.concview")


@pytest.fixture(scope="module")
def truth(recording: Path) -> Counter[str]:
    """Nanoseconds a state."""
    found: Counter[str] = Counter()
    for pieces in Recording(recording).samples():
        for _, start, end, condition, *_ in pieces:
            found[STATES[condition.state]] += end - start
    return found


def test_collapsed(recording: Path, truth: Counter[str]) -> None:
    text = exported("collapsed", recording).decode()
    states: Counter[str] = Counter()
    # What splits lines for one reader or another is in none of them; every line has the only form that all read.
    assert text.splitlines() == text.removesuffix("\n").split("\n")
    for line in text.splitlines():
        match = re.fullmatch(r"(\S.*\S) (\d+)", line)
        assert match, line
        frames = match[1].split(";")
        assert all(f and f == f.strip() for f in frames)
        states[next(s for s in STATES if f"[{s}]" in frames)] += int(match[2]) * 1000
    assert states == pytest.approx(truth, rel=1e-4)
    assert "[self._lock (cache.py) held by MainThread]" in text and "[GIL held by" in text
    assert "[postgresql 127.0.0.1:5432]" in text and "[Thread.join of MainThread]" in text
    by_state = exported("collapsed", recording, Request(group_by="state")).decode()
    assert {line.split(";")[0] for line in by_state.splitlines()} == set(truth)


@pytest.mark.parametrize("group", ["state", "thread"])
def test_speedscope(recording: Path, truth: Counter[str], group: str) -> None:
    content = json.loads(exported("speedscope", recording, Request(group_by=group)))
    frames = content["shared"]["frames"]
    total = 0
    for profile in content["profiles"]:
        assert len(profile["samples"]) == len(profile["weights"]) > 0
        assert all(isinstance(w, int) and w > 0 for w in profile["weights"])
        assert all(0 <= f < len(frames) for stack in profile["samples"] for f in stack)
        assert profile["endValue"] == sum(profile["weights"]) and profile["unit"] == "nanoseconds"
        if profile["name"] != "all states":
            total += profile["endValue"]
    assert total == truth.total() and all(f["name"] for f in frames)
    names = [p["name"] for p in content["profiles"]]
    assert names == (["all states", *(s for s in STATES if s in truth)] if group == "state" else names)


def test_pprof(recording: Path, truth: Counter[str]) -> None:
    profile = fields(gzip.decompress(exported("pprof", recording)))
    strings = [s.decode() for s in profile[6]]
    assert strings[:2] == ["", "time"] and len(set(strings)) == len(strings)
    locations = {one(fields(p), 1) for p in profile[4]}
    functions = [fields(f) for f in profile[5]]
    assert all(one(fields(p), 2) == 1 for p in profile[4]) and len(profile[3]) == 1, "every location names the mapping"
    assert all(3 not in f and strings[one(f, 2)] for f in functions), "no system_name, no empty name"
    states: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for packed in profile[2]:
        sample = fields(packed)
        assert set(numbers(one(sample, 1))) <= locations
        seen, ns = numbers(one(sample, 2))
        assert seen > 0
        said = {strings[one(label, 1)]: strings[one(label, 2)] for label in map(fields, sample[3]) if 2 in label}
        states[said["state"]] += ns
        labels.update(said.keys())
    assert states == truth
    assert {"thread", "state", "lock", "holder", "peer"} <= set(labels)
    assert "self._lock (cache.py)" in strings and "Lock 0xa" not in strings, "who holds it says what it is called"
    # The same shape whatever is in it: 'go tool pprof -base' refuses others.
    other = fields(
        gzip.decompress(exported("pprof", recording, Request(Selection(states=frozenset({State.LOCK})), "holder")))
    )
    for number in (1, 11):
        shape = [[strings[one(fields(t), n)] for n in (1, 2)] for t in profile[number]]
        names = [s.decode() for s in other[6]]
        assert [[names[one(fields(t), n)] for n in (1, 2)] for t in other[number]] == shape


@pytest.mark.parametrize("name", [n for n, e in EXPORTERS.items() if e.selects])
def test_what_there_is_nothing_of(recording: Path, tmp_path: Path, name: str) -> None:
    exporter = EXPORTERS[name]
    empty = made.write(tmp_path / "empty", [])
    group = exporter.groups[0] if exporter.groups else ""
    with (tmp_path / "out").open("wb") as out:
        with pytest.raises(Nothing, match="no samples"):
            exporter.write(Recording(empty), out, Request(group_by=group))
        with pytest.raises(Nothing, match="no thread is called moon") as told:
            exporter.write(Recording(recording), out, Request(Selection(("moon",)), group_by=group))
        assert "MainThread" in told.value.enable
        with pytest.raises(Nothing, match="nothing was seen"):
            exporter.write(Recording(recording), out, Request(Selection(from_s=99), group_by=group))
        assert not out.tell()


@pytest.mark.parametrize("name", [n for n, e in EXPORTERS.items() if e.selects])
def test_one_that_breaks_off(tmp_path: Path, name: str) -> None:
    recording = made.write(tmp_path / "cut", whole=False)
    assert exported(name, recording) and Recording(recording).broken == ""
