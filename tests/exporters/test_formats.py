"""Every format from one recording with hostile names: it parses, nothing is lost, the state is a dimension.

The real readers are in tests/readers; what is checked here are the traps that they have, seen with them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made
import pytest
from wire import fields, numbers, one

from concview import registry
from concview.analysis.samples import Selection
from concview.exporters.base import Exporter, Nothing, Request
from concview.model import STATES, State, Tick
from concview.session.recording import Recording

EXPORTERS: dict[str, Exporter] = registry.everything("concview.exporters", "EXPORTER")


def exported(name: str, recording: Path, request: Request | None = None) -> bytes:
    """The file; of a format of several files, those behind each other."""
    exporter = EXPORTERS[name]
    wanted = request or Request(group_by=exporter.groups[0] if exporter.groups else "")
    if exporter.write_folder is not None:
        folder = recording.with_name(f"folder.{name}")
        folder.mkdir(exist_ok=True)
        exporter.write_folder(Recording(recording), folder, wanted)
        return b"".join(f.read_bytes() for f in sorted(folder.iterdir()))
    out = io.BytesIO()
    assert exporter.write is not None
    exporter.write(Recording(recording), out, wanted)
    return out.getvalue()


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


def _packets(content: bytes) -> list[dict[int, list[Any]]]:
    return [fields(p) for p in fields(content)[1]]


def test_perfetto(recording: Path, truth: Counter[str]) -> None:
    packets = _packets(exported("perfetto", recording))
    names: dict[int, str] = {}
    states: Counter[str] = Counter()
    open_slices: dict[int, list[tuple[str, int]]] = {}
    left: dict[int, int] = {}
    arrived: dict[int, int] = {}
    counters: set[int] = set()
    tracks: dict[int, dict[int, list[Any]]] = {}
    for packet in packets:
        assert packet[10] == [1], "every packet is of the one sequence"
        for interned in packet.get(12, []):
            for entry in map(fields, fields(interned).get(2, [])):
                assert names.setdefault(one(entry, 1), one(entry, 2).decode()) == one(entry, 2).decode()
        for descriptor in map(fields, packet.get(60, [])):
            assert one(descriptor, 1) not in tracks
            tracks[one(descriptor, 1)] = descriptor
        for event in map(fields, packet.get(11, [])):
            assert 8 in packet, "left out for zero, the packet would be dropped"
            at, track = one(packet, 8), one(event, 11)
            assert track in tracks
            if one(event, 9) == 1:
                name = names[one(event, 10)]
                open_slices.setdefault(track, []).append((name, at))
                for flow in event.get(47, []):
                    number = int.from_bytes(flow, "little")
                    (left if name.startswith("holds ") else arrived)[number] = at
            elif one(event, 9) == 2:
                name, start = open_slices[track].pop()
                if not open_slices[track] and 4 in tracks[track]:
                    states[name] += at - start
            else:
                assert one(event, 9) == 4 and one(event, 30) < 10
                counters.add(track)
    assert states == truth and not any(open_slices.values())
    assert set(left) == set(arrived) and left and all(left[f] < arrived[f] for f in left), "ends at what came later"
    shown = {one(tracks[c], 2).decode() for c in counters}
    assert {"waiting for self._lock (cache.py)", "waiting for the GIL", "running"} <= shown
    threads = {one(fields(one(t, 4)), 5).decode() for t in tracks.values() if 4 in t}
    assert "пул-2" in threads and len(threads) == 3


def test_perfetto_of_holders_nests_in_every_track(recording: Path) -> None:
    waited = sum(
        end - start for pieces in Recording(recording).samples() for _, start, end, _, behind, _ in pieces if behind
    )
    depth: Counter[int] = Counter()
    last: dict[int, int] = {}
    total = 0
    for packet in _packets(exported("perfetto", recording, Request(side="holder"))):
        for event in map(fields, packet.get(11, [])):
            at, track = one(packet, 8), one(event, 11)
            assert at >= last.get(track, 0)
            depth[track] += 1 if one(event, 9) == 1 else -1
            if depth[track] == 0:
                total += at - last[track]
            if depth[track] == 1 and one(event, 9) == 1:
                last[track] = at
    assert total == waited and not any(depth.values())


def test_gecko(recording: Path, truth: Counter[str]) -> None:
    content = json.loads(exported("gecko", recording))
    strings, categories = content["shared"]["stringArray"], content["meta"]["categories"]
    states: Counter[str] = Counter()
    for thread in content["threads"]:
        for table in ("samples", "stackTable", "frameTable", "funcTable", "resourceTable", "nativeSymbols", "markers"):
            columns = [c for c in thread[table].values() if isinstance(c, list)]
            assert columns and {len(c) for c in columns} == {thread[table]["length"]}, table
        stacks, frames, functions = thread["stackTable"], thread["frameTable"], thread["funcTable"]
        assert all(p is None or p < i for i, p in enumerate(stacks["prefix"])), "callers stand before their callees"
        assert all(0 <= f < frames["length"] for f in stacks["frame"])
        assert all(0 <= f < functions["length"] for f in frames["func"])
        assert all(0 <= n < len(strings) for n in functions["name"])
        assert thread["samples"]["time"] == sorted(thread["samples"]["time"])
        for stack, weight in zip(thread["samples"]["stack"], thread["samples"]["weight"], strict=True):
            states[categories[stacks["category"][stack]]["name"]] += round(weight * 1e6)
        assert all(a < b for a, b in zip(thread["markers"]["startTime"], thread["markers"]["endTime"], strict=True))
        assert {m["type"] for m in thread["markers"]["data"]} <= {content["meta"]["markerSchema"][0]["name"]}
    assert states == truth
    assert any(m.get("behind") == "MainThread" for t in content["threads"] for m in t["markers"]["data"])


def test_jsonl(recording: Path, truth: Counter[str]) -> None:
    lines = [json.loads(line) for line in exported("jsonl", recording).decode().split("\n")[:-1]]
    assert lines[0]["type"] == "recording" and lines[-1]["type"] == "end"
    known: dict[str, set[int]] = {"thread": set(), "stack": set()}
    states: Counter[str] = Counter()
    for line in lines:
        if line["type"] in known:
            known[line["type"]].add(line["id"])
        elif line["type"] == "piece":
            assert line["thread"] in known["thread"] and line["stack"] in known["stack"]
            states[line["state"]] += round(line["seconds"] * 1e9)
    assert states == truth
    assert (lines[-1]["seconds"], lines[-1]["missed"], lines[-1]["reason"]) == (0.6, 3, "stopped")
    assert {"Class.function_0", "se;mi", "<unnamed>"} <= {
        f["function"] for line in lines if line["type"] == "stack" for f in line["frames"]
    }


def test_otlp(recording: Path, truth: Counter[str]) -> None:
    from opentelemetry.proto.profiles.v1development import profiles_pb2

    content = exported("otlp", recording)
    data = profiles_pb2.ProfilesData.FromString(content)
    assert data.SerializeToString() == content
    tables = data.dictionary
    strings = list(tables.string_table)
    for name in ("mapping", "location", "function", "link", "attribute", "stack"):
        entries = list(getattr(tables, f"{name}_table"))
        assert entries[0].SerializeToString() == b"", f"the first {name} is the zero value"
        assert len({e.SerializeToString() for e in entries}) == len(entries), f"no {name} stands twice"
    assert strings[0] == "" and len(set(strings)) == len(strings)
    (profile,) = data.resource_profiles[0].scope_profiles[0].profiles
    assert len(profile.profile_id) == 16
    assert strings[profile.sample_type.type_strindex] == "time"
    states: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for sample in profile.samples:
        assert 0 < sample.stack_index < len(tables.stack_table) and len(sample.values) == 1
        said = {}
        for index in sample.attribute_indices:
            attribute = tables.attribute_table[index]
            said[strings[attribute.key_strindex]] = attribute.value.string_value or attribute.value.int_value
        states[said["concview.state"]] += sample.values[0]
        keys.update(said.keys())
    assert states == truth
    assert {"thread.name", "thread.id", "concview.lock.name", "concview.holder", "concview.peer"} <= set(keys)
    for stack in tables.stack_table:
        assert all(0 < i < len(tables.location_table) for i in stack.location_indices)
    for location in list(tables.location_table)[1:]:
        assert 0 < location.lines[0].function_index < len(tables.function_table)
    resource = {a.key: a.value for a in data.resource_profiles[0].resource.attributes}
    assert resource["service.name"].string_value == "service" and resource["process.pid"].int_value == 4242


class _Page(HTMLParser):
    """Elements, their attributes, and the text of the page without its scripts."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.data: list[str] = []
        self._within = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self._within = tag if tag in ("script", "style") else ""

    def handle_data(self, data: str) -> None:
        (self.data if self._within == "script" else self.text).append(data)


def test_html(recording: Path, truth: Counter[str]) -> None:
    page = _Page(exported("html", recording).decode())
    assert not page.tags["img"] and not page.tags["i"] and page.tags["script"] == 2, "names are text"
    assert not [a for a in page.attributes if a[0].startswith("on") or a[0] in ("src", "href", "action")]
    assert any("default-src 'none'" in (value or "") for _, value in page.attributes)
    data, script = json.loads(page.data[0]), page.data[1]
    assert "innerHTML" not in script and "http" not in script
    states: Counter[str] = Counter()
    for thread, state, stack, leaf, us in data["keys"]:
        assert 0 <= thread < len(data["threads"]) and leaf < len(data["leaves"])
        assert all(0 <= f < len(data["frames"]) for f in data["stacks"][stack])
        states[data["states"][state]] += us * 1000
    assert states == truth and len(data["own"]) == len(data["frames"])
    assert len(data["strips"]) == len(data["threads"]) == 3 and set("".join(data["strips"])) <= set("01234567-")
    assert data["seconds"] == pytest.approx(0.6, rel=0.01)
    text = " ".join(page.text)
    assert "What was not seen" in text and "3 of 63 samples were missed" in text and "PID 4242" in text
    assert 'work"er;1 <i>\\x0a</script>' in text


def test_html_tells_where_no_sample_was_taken(tmp_path: Path) -> None:
    stream = [*made.definitions(), *made.ticks()]
    last = stream[-1]
    assert isinstance(last, Tick)
    stream.append(Tick(last.at_ns + 2_000 * made.MS, 2_000 * made.MS, 0, False, (2, 1, 4, 0)))
    page = _Page(exported("html", made.write(tmp_path / "x", stream)).decode())
    assert json.loads(page.data[0])["gaps"] == [[0.6, 2.6]]
    told = "no sample for 2.0 s from 600 ms on"
    text = " ".join(page.text)
    assert "Hatched: no sample" in text and text.count(told) == 1


def test_html_without_its_smallest_pieces(recording: Path, truth: Counter[str], monkeypatch: Any) -> None:
    from concview.exporters import _picture

    monkeypatch.setattr(_picture, "MOST_KEYS", 3)
    monkeypatch.setattr(_picture, "ROWS", 2)
    data = json.loads(_Page(exported("html", recording).decode()).data[0])
    states: Counter[str] = Counter()
    for _, state, stack, _, us in data["keys"]:
        states[data["states"][state]] += us * 1000
        assert all(f < len(data["own"]) for f in data["stacks"][stack])
    assert states == truth and "(smaller stacks)" in data["frames"]
    assert sum(map(bool, data["strips"])) == 2


def test_csv(recording: Path, truth: Counter[str], tmp_path: Path) -> None:
    write = EXPORTERS["csv"].write_folder
    assert write is not None
    said = write(Recording(recording), tmp_path, Request())
    tables = {f.stem: list(csv.DictReader(f.open(newline="", encoding="utf-8"))) for f in tmp_path.iterdir()}
    assert {"time", "code", "waits", "threads", "locks", "lock_holders", "causes"} <= set(tables)
    for name, rows in tables.items():
        assert rows and all(None not in row and None not in row.values() for row in rows), f"{name} is rectangular"
    states: Counter[str] = Counter()
    for row in tables["time"]:
        states[row["state"]] += round(float(row["seconds"]) * 1e9)
    assert states == truth
    own = sum(float(row["own_s"]) for row in tables["code"])
    assert own == pytest.approx(sum(truth.values()) / 1e9)
    assert {"MainThread"} == {row["behind"] for row in tables["waits"] if row["waits_for"].startswith("self._lock")}
    threads = {row["name"] for row in tables["threads"]}
    assert {"MainThread", 'work"er;1 <i>\\x0a</script>', "  пул-2  "} <= threads
    assert all(0 <= float(row[s]) <= 1 for row in tables["threads"] for s in STATES)
    assert "nothing was seen of" in said[1] and "tasks" in said[1]


def test_cells_are_no_formulas() -> None:
    from concview.exporters.csv import cell

    assert [cell(text) for text in ("=1+1", "+1", "-1", "@x", "a=b", "")] == ["'=1+1", "'+1", "'-1", "'@x", "a=b", ""]
    assert (cell(-1.5), cell(-3)) == (-1.5, -3), "numbers stay numbers"


@pytest.mark.parametrize("side", ["waiter", "holder"])
@pytest.mark.parametrize("name", [n for n, e in EXPORTERS.items() if e.sides])
def test_both_sides(recording: Path, name: str, side: str) -> None:
    groups = EXPORTERS[name].groups
    assert len(exported(name, recording, Request(side=side, group_by=groups[0] if groups else ""))) > 500


@pytest.mark.parametrize("name", [n for n, e in EXPORTERS.items() if e.selects])
def test_what_there_is_nothing_of(recording: Path, tmp_path: Path, name: str) -> None:
    exporter = EXPORTERS[name]
    empty = made.write(tmp_path / "empty", [])
    group = exporter.groups[0] if exporter.groups else ""
    folder, out = tmp_path / "folder", io.BytesIO()
    folder.mkdir()

    def write(path: Path, request: Request) -> None:
        if exporter.write_folder is not None:
            exporter.write_folder(Recording(path), folder, request)
        else:
            assert exporter.write is not None
            exporter.write(Recording(path), out, request)

    with pytest.raises(Nothing, match="no samples"):
        write(empty, Request(group_by=group))
    with pytest.raises(Nothing, match="no thread is called moon") as told:
        write(recording, Request(Selection(("moon",)), group_by=group))
    assert "MainThread" in told.value.enable
    with pytest.raises(Nothing, match="nothing was seen"):
        write(recording, Request(Selection(from_s=99), group_by=group))
    assert not out.tell() and not list(folder.iterdir())


@pytest.mark.parametrize("name", [n for n, e in EXPORTERS.items() if e.selects])
def test_one_that_breaks_off(tmp_path: Path, name: str) -> None:
    recording = made.write(tmp_path / "cut", whole=False)
    assert exported(name, recording) and Recording(recording).broken == ""
