"""The events of the stream keep their numbers, every kind survives a round trip, and older recordings are read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concview import codec
from concview.analysis.history import History
from concview.model import AnyEvent, Bye, Hello
from concview.model.stream import TAGS

KINDS = get_args(AnyEvent)
RECORDINGS = sorted(Path(__file__).with_name("recordings").glob("*.concview"))


def test_every_event_has_the_tag_of_the_table() -> None:
    """A number is never used again: recordings that are kept hold the old meaning."""
    assert {kind.__struct_config__.tag: kind for kind in KINDS} == TAGS
    assert len(TAGS) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_round_trip_of_every_event_kind(kind: type[AnyEvent], data: st.DataObject) -> None:
    # Text that is already clean, whole numbers that MessagePack holds, and no NaN, which is equal to nothing.
    st.register_type_strategy(str, st.text("abcxyz /.<>:_0", max_size=8))
    st.register_type_strategy(int, st.integers(-(1 << 63), (1 << 63) - 1))
    st.register_type_strategy(float, st.floats(allow_nan=False, width=64))
    event = data.draw(st.from_type(kind))
    if isinstance(event, Hello):
        return  # its version decides whether it is read at all; the recordings below begin with one
    out = io.BytesIO()
    writer = codec.Writer(out)
    writer.add(event)
    writer.flush()
    assert codec.decode_payload(codec.encode_events([event])) == [event]
    assert out.getvalue().startswith(codec.MAGIC)


def test_a_recording_of_each_version_is_there() -> None:
    versions = {_read(path)[0].version for path in RECORDINGS}  # type: ignore[union-attr]
    assert versions == set(range(codec.OLDEST_VERSION, codec.STREAM_VERSION + 1))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_stored_recording_is_read(path: Path) -> None:
    events = _read(path)
    hello = events[0]
    assert isinstance(hello, Hello) and codec.OLDEST_VERSION <= hello.version <= codec.STREAM_VERSION
    assert isinstance(events[-1], Bye)
    history = History()
    for event in events:
        history.apply(event)
    names = {t.name for t in [*history.threads.values(), *history.gone]}
    assert "waiting" in names
    (waiting,) = [t for t in [*history.threads.values(), *history.gone] if t.name == "waiting"]
    assert any(f.function.endswith("wait_here") for run in waiting.runs for f in run.stack.frames)


def _read(path: Path) -> list[AnyEvent]:
    with path.open("rb") as file:
        return [event for block in codec.read_blocks(file) for event in block]
