"""Does anything that is read make concview raise, hang or take much memory? Exit code 1 when it does.

    python benchmarks/fuzz.py [--seconds 60] [--only NAME ...] [--seed N] [--keep FOLDER]

Recordings (values inside events, their order, and bytes), settings, commands to the collector, messages of the agent,
tables of the kernel, its answers about sockets, and core files are changed at random and read as ever. Only the
refusals that are meant for it may come out, and no rule may fail. An input may take 10 seconds of CPU, and ten times
its size in memory (at least 64 MB). What fails is kept in FOLDER. The short form of it is in tests/core.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import resource
import signal
import socket
import struct
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/linux"))

import core_builder

from concview import codec, control
from concview.agent_host import messages
from concview.analysis.history import History
from concview.analysis.window import Window
from concview.catalogue.judge import Judge
from concview.config import ConfigError, parse
from concview.linux import core_command, kernel_locks, namespaces, socket_diag
from concview.linux.core_facts import lay_out
from concview.linux.core_file import BadCore, CoreFile
from concview.session.blame import named
from concview.session.compose import Composer

ROOT = Path(__file__).resolve().parents[1]
SEEDS = sorted((ROOT / "tests/model/recordings").glob("*.concview"))
WORST = [
    0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -1.0, 1e308, float("nan"), float("inf"), "", "x",
    "\x1b[2J", "a" * 5000, None, True, [], {}, [[]], b"\0",
]  # fmt: skip
#: Settings' values.
VALUES = ["nan", "-inf", "1e999", "[]", "[[1]]", '""', "{}", "true", "0", "-9223372036854775808", '"\\u001b[2J"']
ORDERS = ["rate", "attach-agent", "detach-agent", "count-calls", "stop-counting", "budget", "?"]
MESSAGES = ["hello", "occupied", "bye", "refused", "opened", "report", "calls", "?"]


class TooLong(Exception):
    pass


def payloads(data: bytes) -> list[bytes]:
    return list(codec._payloads(io.BytesIO(data)))


def change(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """The same value with something in it replaced, doubled, dropped."""
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        what = chance.random()
        new = list(value)
        if depth > 0 and what < 0.1:
            del new[at]
        elif depth > 0 and what < 0.2:
            new.insert(at, chance.choice([*WORST, value[at]]))
        else:
            new[at] = change(value[at], chance, depth + 1)
        return new
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.6:
        return value + chance.choice([1, -1, 1000, -(10**9), 10**12, -value, 2**40])
    return chance.choice(WORST)


def recording(chance: random.Random) -> bytes:
    """Real events, some changed, blocks with checksums that are right; sometimes bytes changed instead."""
    data = chance.choice(SEEDS_READ)
    if chance.random() < 0.15:
        raw = bytearray(data)
        for _ in range(chance.randrange(1, 8)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        return bytes(raw[: chance.randrange(len(raw))] if chance.random() < 0.3 else raw)
    out = codec.MAGIC
    for payload in payloads(data):
        events = msgspec.msgpack.decode(payload)
        for _ in range(chance.choice([0, 1, 1, 2, 5])):
            if events:
                at = chance.randrange(len(events))
                events[at] = change(events[at], chance, 1)
        if chance.random() < 0.1:
            chance.shuffle(events)
        try:
            out += codec.block_of(msgspec.msgpack.encode(events))
        except (OverflowError, TypeError, ValueError):
            out += codec.block_of(payload)
    return out


def read_recording(data: bytes) -> None:
    history, judge, composer = History(), Judge(), Composer(10_000_000_000, False)
    with contextlib.suppress(codec.StreamError):
        for events in codec.read_blocks(io.BytesIO(data)):
            for event in events:
                history.apply(event)
    if history.hello is not None:
        window = Window(history)
        judgement = judge.evaluate(window)
        if broken := [n for n in judgement.not_applicable if "failed" in n.why]:
            raise AssertionError(f"rules raised: {[(n.id, n.why) for n in broken]}")
        named(None, judgement.findings)
        composer.compose(history, window, judgement, True)


SETTINGS = """rate = 200
budget = 5
labels = "off"
[keys]
pause = "p"
[rules]
only = ["lock-*"]
[rules.thresholds.lock-contention]
info = 0.5
warn = 2.0
[rules.options.slow-logging]
exclude_places = ["audit.py:Journal.write"]
"""


def settings(chance: random.Random) -> bytes:
    lines = SETTINGS.splitlines()
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        key = lines[at].partition("=")[0]
        lines[at] = chance.choice([*(f"{key} = {v}" for v in VALUES), lines[at] * 2, "[" * 200, "[rules]", ""])
    return "\n".join(lines).encode()


def read_settings(data: bytes) -> None:
    try:
        raw = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return
    with contextlib.suppress(ConfigError):
        parse(raw, "here")


def command(chance: random.Random) -> bytes:
    said: dict[str, Any] = {"do": chance.choice(ORDERS)}
    for key in ("hz", "percent", "seconds", "clock", "x"):
        if chance.random() < 0.5:
            said[key] = chance.choice([v for v in WORST if not isinstance(v, bytes)])
    raw = msgspec.json.encode(said)
    return raw if chance.random() < 0.8 else raw[: chance.randrange(len(raw))]


def read_command(data: bytes) -> None:
    with contextlib.suppress(control.BadCommand):
        control.decode(data)


def message(chance: random.Random) -> bytes:
    said: dict[str, Any] = {"t": chance.choice(MESSAGES)}
    for key in ("pid", "token", "version", "python", "gil", "more", "loops", "queues", "text", "at"):
        if chance.random() < 0.6:
            said[key] = chance.choice([v for v in WORST if not isinstance(v, bytes)])
    raw = msgspec.json.encode(said)
    return raw if chance.random() < 0.7 else bytes(chance.randrange(256) for _ in raw)


def read_message(data: bytes) -> None:
    with contextlib.suppress(messages.BadMessage):
        messages.decode(data)


TABLES = """1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF
1: -> FLOCK  ADVISORY  WRITE 1235 fe:01:5678 0 EOF
2: OFDLCK ADVISORY  READ -1 00:18:12 128 191
0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope
127.0.0.1:5432 [::1]:80 x:y"""


def table(chance: random.Random) -> bytes:
    words = TABLES.split(" ")
    for _ in range(chance.randrange(1, 6)):
        words[chance.randrange(len(words))] = str(chance.choice([*WORST, ":", "::", "\n", "->", "1" * 5000, "\udcff"]))
    return " ".join(words).encode("utf-8", "surrogateescape")


def read_table(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    kernel_locks.held(text)
    namespaces.parse_cgroup(text)
    for word in text.split():
        socket_diag.end(word)


class Link:
    """In the place of the kernel's answers about sockets: what is given, in one piece, then nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def settimeout(self, seconds: float) -> None: ...

    def send(self, request: bytes) -> int:
        return len(request)

    def recv(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


def sockets(chance: random.Random) -> bytes:
    """Messages of `inet_diag` and `unix_diag` with attributes, some with lengths, kinds and words that are wrong."""
    data = b""
    for _ in range(chance.randrange(1, 6)):
        body = bytearray(chance.randbytes(chance.choice([0, 3, 16, 72, 72, 72])))
        if len(body) > 2:
            body[chance.choice([0, 1, 2])] = chance.choice([1, 2, 8, 10, 255])
        for _ in range(chance.randrange(5)):
            value = chance.randbytes(chance.choice([0, 1, 4, 7, 8, 36, 140, 148, 224]))
            length = 4 + len(value) if chance.random() < 0.8 else chance.choice([0, 1, 3, 4, 4000, 65535])
            body += struct.pack("=HH", length, chance.choice([0, 2, 3, 4, 7, 9, 65535])) + value
            body += bytes(-len(body) % 4)
        length = 16 + len(body) if chance.random() < 0.8 else chance.choice([0, 15, 16, 17, 1 << 31, 2**32 - 1])
        data += struct.pack("=IHHII", length, chance.choice([20, 20, 20, 2, 3]), 0, 1, 0) + body
    return data[: chance.randrange(len(data))] if chance.random() < 0.2 else data


def read_sockets(data: bytes) -> None:
    here, there = (b"\x7f\0\0\1", 80), (b"\x7f\0\0\1", 5432)
    for ask in (
        socket_diag._unix_sockets,
        lambda link: socket_diag._tcp_socket(link, here, there),
        lambda link: socket_diag._tcp_listener(link, here),
        lambda link: list(socket_diag._tcp_listening(link, socket.AF_INET)),
        lambda link: list(socket_diag._unix_listening(link)),
        lambda link: socket_diag._unaccepted(link, here),
    ):
        with contextlib.suppress(OSError):
            ask(Link(data))


def cores(chance: random.Random) -> bytes:
    """A made-up core file of either machine, some of its bytes or words changed, or cut."""
    registers = {"x8": 98, "x0": chance.choice([0x9000, -4])}
    own = core_builder.prstatus_aarch64(7, sp=0x10100, pc=0x20004, tls=0x10800, **registers)
    machine = chance.choice([62, 183])
    if machine == 62:
        own = core_builder.prstatus(7, rsp=0x10100, fs_base=0x10800, orig_rax=202, rax=-512)
    notes = own + core_builder.psinfo(7, b"python", b"python app.py")
    notes += core_builder.note(6, struct.pack("<4Q", 3, 0x20040, 0, 0))
    notes += core_builder.files([(0x20000, 0x22000, 0, "/usr/bin/python3"), (0x30000, 0x31000, 2, "/x")])
    text = core_builder.Segment(0x20000, struct.pack("<II", 0xD503201F, 0xD4000001) * 4, 8192, 5)
    raw = bytearray(core_builder.core([core_builder.Segment(0x10000, b"abc" * 700, 4096), text], notes, machine))
    for _ in range(chance.choice([0, 1, 1, 3, 9])):
        at = chance.randrange(len(raw) // 8) * 8
        word = chance.choice([w for w in WORST if isinstance(w, int) and not isinstance(w, bool)]) & (1 << 64) - 1
        raw[at : at + 8] = struct.pack("<Q", word) if chance.random() < 0.5 else chance.randbytes(8)
    return bytes(raw[: chance.randrange(len(raw))] if chance.random() < 0.2 else raw)


def read_core(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "core")
        path.write_bytes(data)
        with contextlib.suppress(BadCore):
            core = CoreFile(path)
            for address in (0, 0x10000, 0x20000, 0x30000, (1 << 64) - 8):
                core.read(address, 600)
            lay_out(core, Path(folder), {})
            core_command.command_of(core)
            core.handles, core.lacking_stacks, core.maps()
            core.close()


READERS: dict[str, tuple[Callable[[random.Random], bytes], Callable[[bytes], None]]] = {
    "recordings": (recording, read_recording),
    "settings": (settings, read_settings),
    "commands": (command, read_command),
    "messages": (message, read_message),
    "tables": (table, read_table),
    "sockets": (sockets, read_sockets),
    "cores": (cores, read_core),
}


def _late(*_: object) -> None:
    raise TooLong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", choices=list(READERS), default=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    failed = 0
    for name in options.only:
        number, found = run(name, options.seed, options.seconds / len(options.only), keep=options.keep)
        failed += len(found)
        print(f"{name:12} {number:7} inputs  {found or 'nothing raised'}", flush=True)
    return 1 if failed else 0


def run(
    name: str, seed: int, seconds: float = 3600.0, most: int = 1 << 60, keep: Path | None = None
) -> tuple[int, dict[str, int]]:
    """How many inputs were read, and what went wrong: kind -> the first input with which it did."""
    make, read = READERS[name]
    signal.signal(signal.SIGPROF, _late)
    until, number = time.monotonic() + seconds, 0
    found: dict[str, int] = {}
    while time.monotonic() < until and number < most:
        number += 1
        data = make(random.Random(f"{seed}-{name}-{number}"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_PROF, 10)
        try:
            read(data)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
            if kind not in found:
                found[kind] = number
                traceback.print_exc(limit=-4)
                if keep is not None:
                    (keep / f"{name}-{number}").write_bytes(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if grown > max(64 << 20, 10 * len(data)):
            found.setdefault(f"memory: {grown >> 20} MB for {len(data)} bytes", number)
    return number, found


SEEDS_READ = [path.read_bytes() for path in SEEDS]

if __name__ == "__main__":
    sys.exit(main())
