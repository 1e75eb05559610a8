"""Events <-> bytes. A pipe and a file carry the same bytes.

Layout: an 8-byte magic, then blocks. A block is a 12-byte header (marker, payload length, CRC-32; little-endian u32
each) and a payload: a MessagePack array of events. A stream that is cut off is readable up to its last whole block.

A file of several processes (`record --tree`) begins with a greeting of its own version. Blocks then begin with an `Of`:
what follows in them is of that process, a stream as if it were alone. Others tell who the processes are.
"""

from __future__ import annotations

import operator
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from functools import cache
from typing import BinaryIO, NamedTuple, Protocol, TypeVar, Union, cast, get_args

import msgspec
import msgspec.inspect

from concview.model import AnyEvent, Bye, Counters, Event, Hello, Of, ProcessDef, StackDef, TasksGone, TaskTick, Tick
from concview.text import clean

_T = TypeVar("_T")
MAGIC = b"CONCVIEW"
#: 2: depths of queues. 3: relations between threads and objects, switches, tasks, labels, trees. A reader of an older
#: version would take their events for damage, so the number says it beforehand.
STREAM_VERSION = 3
OLDEST_VERSION = 1
#: Of a file of several processes.
SEVERAL_VERSION = 4
#: No block is larger; a larger length means damage, and is not allocated.
MAX_BLOCK = 64 << 20
_MARKER = 0x4B4C4243  # 'CBLK'
_HEADER = struct.Struct("<III")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[AnyEvent]).decode


class StreamError(Exception):
    """Not a stream of ours, or one with nothing readable. The message says what is wrong."""


class Several(StreamError):
    """It holds several processes, and none of them was chosen."""

    def __init__(self) -> None:
        super().__init__("it holds several processes, of which one must be chosen")


class Damaged(StreamError):
    """The stream breaks off or is damaged behind something readable."""


def encode_block(events: list[Event]) -> bytes:
    """One block, header included."""
    return block_of(_encode(events))


def block_of(payload: bytes) -> bytes:
    """A payload that was encoded already, as one block."""
    return _HEADER.pack(_MARKER, len(payload), zlib.crc32(payload)) + payload


def encode_events(events: Sequence[Event]) -> bytes:
    """Only the payload of a block; for events of ours that never leave the process."""
    return _encode(events)


def decode_events(payload: bytes) -> list[AnyEvent]:
    """What `encode_events` made."""
    return _decode(payload)


def decode_payload(payload: bytes) -> list[AnyEvent]:
    """The events of one payload, strings made safe. StreamError when they are not ours."""
    try:
        events = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"an event cannot be decoded: {error}") from None
    return [_trusted(event) for event in events]


#: The frequent events, which hold numbers only.
_NUMBERS = (Tick, StackDef, Counters, TaskTick, TasksGone)


def _trusted(event: AnyEvent) -> AnyEvent:
    """A recording is as untrusted as a target: its strings are cleaned where it is read."""
    if isinstance(event, Hello) and not OLDEST_VERSION <= event.version <= SEVERAL_VERSION:
        raise StreamError(
            f"the stream has version {event.version}; "
            f"this concview reads versions {OLDEST_VERSION} to {SEVERAL_VERSION}"
        )
    return event if isinstance(event, _NUMBERS) else clean_strings(event)


def clean_strings(value: _T) -> _T:
    """A copy of a struct, tuple or dict with every string in it cleaned; the same object where nothing changed."""
    return cast(_T, _cleaned(value))


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        # An enum member is a str of ours, not of the target's.
        return value if isinstance(value, Enum) else clean(value)
    if isinstance(value, tuple):
        parts = tuple(map(_cleaned, value))
        return value if all(map(operator.is_, parts, value)) else parts
    if isinstance(value, dict):
        return {_cleaned(k): _cleaned(v) for k, v in value.items()}
    if isinstance(value, msgspec.Struct):
        changed = {}
        for name in _texts(type(value)):
            old = getattr(value, name)
            new = _cleaned(old)
            if new is not old:
                changed[name] = new
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


@cache
def _texts(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields in which strings may be, by their types, which the decoder enforces. Most hold numbers only, and a
    recording has millions of them."""
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    return tuple(field.name for field in described.fields if _may_hold_text(field.type))


def _may_hold_text(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType() | msgspec.inspect.BoolType():
            return False
        case msgspec.inspect.NoneType() | msgspec.inspect.EnumType() | msgspec.inspect.BytesType():
            return False
        case msgspec.inspect.UnionType(types=types) | msgspec.inspect.TupleType(item_types=types):
            return any(map(_may_hold_text, types))
        case msgspec.inspect.VarTupleType(item_type=item):
            return _may_hold_text(item)
        case msgspec.inspect.StructType(cls=cls):
            return bool(_texts(cls))
    return True  # strings, and all that none of the events has today


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


#: How files of programs that compress begin.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}


def compression(head: bytes) -> str:
    """The program that has compressed a file which begins so; '' where none has."""
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), "")


def read_exactly(source: Readable, size: int) -> bytes:
    """Up to `size` bytes; fewer only at the end of the source."""
    parts: list[bytes] = []
    while size > 0:
        part = source.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def lean_decoder(wanted: Collection[type[msgspec.Struct]]) -> Callable[[bytes], list[AnyEvent]]:
    """Decodes payloads like `decode_payload`, but builds nothing of events that are not `wanted`, and leaves them out.
    Of the frequent counters of all threads alone that saves most of a recording's reading time.

    `wanted` may hold types of the caller's own that have an event's tag and only its first fields. The greeting and
    the farewell are always there.
    """
    ours: list[int] = [t.__struct_config__.tag for t in get_args(AnyEvent)]
    kinds: tuple[type[msgspec.Struct], ...] = (*wanted, Hello, Bye)
    types: dict[int, type[msgspec.Struct]] = {cast(int, kind.__struct_config__.tag): kind for kind in kinds}
    left_out = {
        tag: msgspec.defstruct(f"LeftOut{tag}", [], tag=tag, array_like=True, frozen=True, gc=False)
        for tag in ours
        if tag not in types
    }
    skipped, numbers = frozenset(left_out.values()), frozenset(_NUMBERS)
    types |= left_out
    decode = msgspec.msgpack.Decoder(list[Union[tuple(types.values())]]).decode  # type: ignore[misc]  # noqa: UP007

    def decoded(payload: bytes) -> list[AnyEvent]:
        try:
            events = decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Damaged(f"an event cannot be decoded: {error}") from None
        return [e if type(e) in numbers else _trusted(e) for e in events if type(e) not in skipped]

    return decoded


def read_blocks(
    source: Readable, decode: Callable[[bytes], list[AnyEvent]] = decode_payload, of: int = 0
) -> Iterator[list[AnyEvent]]:
    """The events of each whole block, as `decode` makes them. `of`: in a file of several processes, the number of the
    one whose stream is wanted.

    StreamError before anything was readable (Several where a number is missing); Damaged behind something readable (a
    caller that wants what there is catches it), also when the last block lacks the farewell that a stream ends with.
    """
    seen = False
    events: list[AnyEvent] = []
    for payload in _payloads(source) if not of else _only(_payloads(source), of):
        events = decode(payload)
        if not seen:
            if not (events and isinstance(events[0], Hello)):
                raise StreamError("it does not begin with a greeting")
            if events[0].version == SEVERAL_VERSION:
                raise Several
        seen = True
        yield events
    if not seen:
        raise StreamError("it holds no block" if not of else "it holds nothing of this process")
    if not (events and isinstance(events[-1], Bye)):
        raise Damaged(
            "the end is missing: it is still being written, or whoever wrote it was killed, or it was cut off"
        )


def _payloads(source: Readable) -> Iterator[bytes]:
    """Of the whole blocks, checked. Raises as `read_blocks` does."""
    head = read_exactly(source, len(MAGIC))
    if head != MAGIC:
        if packed := compression(head):
            raise StreamError(f"it is compressed by {packed}: unpack it first")
        raise StreamError("this is not a concview recording" if head else "the recording is empty")
    failure: Callable[[str], StreamError] = StreamError
    while header := read_exactly(source, _HEADER.size):
        if len(header) < _HEADER.size:
            raise failure("it breaks off inside a block header")
        marker, length, crc = _HEADER.unpack(header)
        if marker != _MARKER or length > MAX_BLOCK:
            raise failure("a block header is damaged")
        payload = read_exactly(source, length)
        if len(payload) < length:
            raise failure("it breaks off inside a block")
        if zlib.crc32(payload) != crc:
            raise failure("the checksum of a block is wrong")
        yield payload
        failure = Damaged


def last_moment(source: BinaryIO, of: int = 0) -> int:
    """The latest moment of the last whole block (`of`: of one process among several), nanoseconds on the stream's
    clock; 0 where that cannot be read. From block to block: only what stands in front of each is looked at, so that
    it costs next to nothing whatever the length. It leaves `source` somewhere else."""
    wanted = _encode(Of(of)) if of else b""
    peeked = _HEADER.size + 5 + len(wanted)
    size = source.seek(0, 2)
    at, last = len(MAGIC), 0
    while True:
        source.seek(at)
        head = read_exactly(source, peeked)
        if len(head) < _HEADER.size:
            break
        marker, length, _ = _HEADER.unpack_from(head)
        if marker != _MARKER or at + _HEADER.size + length > size:
            break
        if not of or wanted in head[_HEADER.size :]:
            last = at
        at += _HEADER.size + length
    if not last:
        return 0
    source.seek(last)
    _, length, crc = _HEADER.unpack(read_exactly(source, _HEADER.size))
    payload = read_exactly(source, min(length, MAX_BLOCK))
    try:
        if zlib.crc32(payload) != crc:
            return 0
        found = [payload] if not of else list(_only(iter([payload]), of))
        return max((e.at_ns for p in found for e in decode_payload(p) if hasattr(e, "at_ns")), default=0)
    except StreamError:
        return 0


# ---------------------------------------------------------------- several processes in one file


def of_process(number: int, payload: bytes) -> bytes:
    """A payload as that of one process among several."""
    count, at = _array(payload)
    return _array_head(count + 1) + _encode(Of(number)) + payload[at:]


def _only(payloads: Iterator[bytes], number: int) -> Iterator[bytes]:
    """Those of one process, as they were."""
    wanted = _encode(Of(number))
    for payload in payloads:
        count, at = _array(payload)
        if count > 1 and payload.startswith(wanted, at):
            yield _array_head(count - 1) + payload[at + len(wanted) :]


def _array(payload: bytes) -> tuple[int, int]:
    """(elements, where the first one begins) of a MessagePack array."""
    first = payload[0] if payload else 0
    if first & 0xF0 == 0x90:
        return first & 0x0F, 1
    size = {0xDC: 2, 0xDD: 4}.get(first, 0)
    if not size or len(payload) < 1 + size:
        raise Damaged("a block is no list of events")
    return int.from_bytes(payload[1 : 1 + size], "big"), 1 + size


def _array_head(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


class Contents(NamedTuple):
    """Who is in a file. `processes` is empty where it is of one process alone."""

    hello: Hello
    processes: tuple[ProcessDef, ...] = ()
    broken: str = ""  #: why it breaks off


def contents(source: Readable) -> Contents:
    """Read through a file of several processes; of any other only the first block. StreamError where nothing is
    readable."""
    hello: Hello | None = None
    found: list[ProcessDef] = []
    ended = False
    try:
        for payload in _payloads(source):
            if hello is None:
                events = decode_payload(payload)
                if not (events and isinstance(events[0], Hello)):
                    raise StreamError("it does not begin with a greeting")
                hello = events[0]
                if hello.version != SEVERAL_VERSION:
                    return Contents(hello)
                continue
            _, at = _array(payload)
            if payload[at : at + 2] != _OF:
                events = decode_payload(payload)
                found += [e for e in events if isinstance(e, ProcessDef)]
                ended = bool(events) and isinstance(events[-1], Bye)
    except Damaged as error:
        if hello is None:
            raise
        return Contents(hello, tuple(found), str(error))
    if hello is None:
        raise StreamError("it holds no block")
    return Contents(hello, tuple(found), "" if ended else "the end is missing")


#: How an `Of` begins: an array of two, the first of which is its tag.
_OF = _encode(Of(0))[:2]


class Writer:
    """Writes events to a file object in blocks. Not thread-safe."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._events: list[Event] = []
        out.write(MAGIC)

    def add(self, event: Event) -> None:
        self._events.append(event)

    def flush(self) -> int:
        """Write what was added as one block; the number of bytes written."""
        if not self._events:
            return 0
        block = encode_block(self._events)
        self._events = []
        self._out.write(block)
        self._out.flush()
        return len(block)
