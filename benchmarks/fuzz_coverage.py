"""Recordings changed so that ever more of the code that reads them runs (by atheris, coverage-guided).

Exit code 1 when one is found at which a command fails.

    pip install atheris
    python benchmarks/fuzz_coverage.py [--seconds 600] [--corpus FOLDER] [--keep FOLDER]

Seeds are the recordings of the tests, and one of each of some demos. What is changed are bytes of a block's payload,
its checksum made right again, and values inside of events. Each input is read by `check` and by `report`, `compare` or
an exporter in turn, in this process, as from the command line: an exit code of 70, an exception, more than
`--patience` seconds, or more memory than ten times the file (at least 256 MB) is a fault. It is kept in FOLDER, and
the run ends.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import atheris
import msgspec

with atheris.instrument_imports(include=["concview"]):
    from concview import codec, registry
    from concview.commands import run

    registry.everything("concview.commands", "COMMAND")
    registry.everything("concview.catalogue.rules", "RULE")
    EXPORTERS = registry.everything("concview.exporters", "EXPORTER")
    registry.everything("concview.analysis.blame.kinds", "KIND")

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fuzz

DEMOS = ("deadlock", "lock-held-across-io", "blocked-event-loop", "async-pool-exhausted", "queue-dead-end")
#: Codes that say something of the file: 0, 1, 2 (not for this file), 5, 6.
FINE = frozenset({0, 1, 2, 5, 6})
FLOOR = 256 << 20
READ = [["check", "--format", form] for form in ("text", "json", "md", "sarif")]
READ += [["report", "--format", form] for form in ("html", "md", "json")]
READ += [["export", "--force", "--format", name] for name in EXPORTERS if name not in ("pstat", "callgrind")]
READ += [["compare"]]


def split(data: bytes) -> list[bytes]:
    """The payloads of a recording, as far as it is one."""
    found = []
    with contextlib.suppress(codec.StreamError):
        found.extend(codec._payloads(io.BytesIO(data)))
    return found


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """One block of a recording changed; the rest as it was."""
    chance = random.Random(seed)
    payloads = split(data)
    if not payloads or chance.random() < 0.05:
        return bytes(atheris.Mutate(data, most))
    at = chance.randrange(len(payloads))
    if chance.random() < 0.4:
        payloads[at] = bytes(atheris.Mutate(payloads[at], max(1, most - len(data) + len(payloads[at]))))
    else:
        with contextlib.suppress(Exception):
            events: list[Any] = msgspec.msgpack.decode(payloads[at])
            for _ in range(chance.choice([1, 1, 2, 4])):
                n = chance.randrange(len(events))
                events[n] = fuzz.change(events[n], chance, 1)
            if chance.random() < 0.1:
                events.insert(chance.randrange(len(events)), events[chance.randrange(len(events))])
            payloads[at] = msgspec.msgpack.encode(events)
    out = codec.MAGIC + b"".join(codec.block_of(p) for p in payloads)
    return out[:most]


def read(data: bytes, folder: Path, keep: Path) -> None:
    """By `check`, and by one of the other ways out, which the content chooses."""
    file = folder / "in.concview"
    file.write_bytes(data)
    number = zlib.crc32(data)
    for command in (READ[number % 4], READ[4 + number % (len(READ) - 4)]):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        words = [command[0], str(file), *command[1:]]
        if command[0] == "compare":
            words = ["compare", str(file), str(file)]
        elif command[0] != "check":
            words += ["-o", str(folder / "out")]
        said = io.StringIO()
        # What goes out as bytes goes into nothing.
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(said):
            code = run(words)
        if code not in FINE:
            (keep / f"fault-{number:08x}").write_bytes(data)
            raise AssertionError(f"{words[:1] + command[1:]} ended with {code}: {said.getvalue()[-2000:]}")
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
        if grown > max(FLOOR, 10 * len(data)):
            (keep / f"memory-{number:08x}").write_bytes(data)
            raise AssertionError(f"{words[:1] + command[1:]} took {grown >> 20} MB for {len(data)} bytes")


def seeds(corpus: Path) -> None:
    for seed in fuzz.SEEDS:
        (corpus / seed.name).write_bytes(seed.read_bytes())
    for name in DEMOS:
        target = corpus / f"{name}.concview"
        if target.exists():
            continue
        demo = Path(codec.__file__).parent / "demos" / f"{name.replace('-', '_')}.py"
        with subprocess.Popen([sys.executable, str(demo), "bad"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            command = [sys.executable, "-m", "concview", "record", str(process.pid), "-o", str(target)]
            subprocess.run([*command, "--duration", "1", "--rate", "20"], check=False, stderr=subprocess.DEVNULL)
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="folder that is gone on with; else a temporary one")
    parser.add_argument("--keep", type=Path, default=Path())
    parser.add_argument("--patience", type=int, default=20, help="seconds for one input; more on a busy machine")
    options = parser.parse_args()
    os.environ["CONCVIEW_DEBUG"] = "1"
    # libFuzzer ends the process itself: what is temporary lies where it does not stay.
    folder = Path(tempfile.mkdtemp(prefix="concview-fuzz-", dir="/dev/shm"))
    corpus = options.corpus or folder / "corpus"
    corpus.mkdir(exist_ok=True, parents=True)
    seeds(corpus)
    arguments = [
        sys.argv[0], str(corpus), "-max_len=200000",
        f"-max_total_time={options.seconds}", f"-timeout={options.patience}",
        f"-artifact_prefix={options.keep}/", "-print_final_stats=1", "-rss_limit_mb=4096",
    ]  # fmt: skip
    atheris.Setup(arguments, lambda data: read(data, folder, options.keep), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
