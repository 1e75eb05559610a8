"""Recordings and results through pipes, and recordings that other programs have compressed."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import run

from concview import codec
from concview.model import Bye, Frame, FrameDef, Hello, StackDef, Target, ThreadDef, Tick, Wait, WaitDef, WaitKind
from interpreters import current, target

MS = 1_000_000


def _recording() -> bytes:
    target = Target(4242, "3.13.0", ("/usr/bin/python3", "service.py"), 1_700_000_000.0)
    return (
        codec.MAGIC
        + codec.encode_block(
            [
                Hello(codec.STREAM_VERSION, "0", target, "direct", 100, 5, 1_000 * MS, 1_700_000_100.0, {}),
                FrameDef(1, Frame("serve", "/srv/app.py", 3)),
                StackDef(1, (1,)),
                WaitDef(1, Wait(WaitKind.SLEEP)),
                ThreadDef(1, "MainThread"),
            ]
        )
        + b"".join(
            codec.encode_block([Tick((1_010 + 10 * n) * MS, 10 * MS, 0, False, (1, 1, 1, 0) if not n else ())])
            for n in range(1_000)
        )
        + codec.encode_block([Bye(11_000 * MS, "stopped")])
    )


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": _zstd,
}


def _command(*words: object, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "concview", *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed(tmp_path: Path, suffix: str) -> None:
    if suffix == "zst" and shutil.which("zstd") is None:
        pytest.skip("no program zstd")
    plain, packed = tmp_path / "x.concview", tmp_path / f"y.concview.{suffix}"
    plain.write_bytes(_recording())
    packed.write_bytes(PACKERS[suffix](_recording()))
    wanted = _command("export", plain, "--format", "collapsed", "-o", "-")
    got = _command("export", packed, "--format", "collapsed", "-o", "-")
    assert (wanted.returncode, got.returncode) == (0, 0), got
    assert got.stdout == wanted.stdout == b"MainThread;serve (app.py:3);[sleep] 10000000\n"


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_and_cut_off(tmp_path: Path, suffix: str) -> None:
    """What there is, is read."""
    if suffix == "zst" and shutil.which("zstd") is None:
        pytest.skip("no program zstd")
    packed = PACKERS[suffix](_recording())
    file = tmp_path / f"y.concview.{suffix}"
    file.write_bytes(packed[: len(packed) // 2])
    done = run("check", file, "--format", "json", "--fail-on", "never")
    if suffix == "gz":
        assert 0 < json.loads(done.stdout)["sampling"]["seconds"] < 9, done
    assert "breaks off inside what" in done.stderr and "Traceback" not in done.stderr


def test_other_things_in_a_compressed_file_or_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"no recording"))
    (tmp_path / "b.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    for name in ("a.gz", "b.gz"):
        done = run("check", tmp_path / name)
        assert (done.returncode, done.stdout) == (5, "") and f"{name}: " in done.stderr, done
    for data in (b"", b"short", bytes(100_000)):
        done_b = _command("report", "-", data=data)
        assert (done_b.returncode, done_b.stdout) == (5, b""), done_b
        assert b"standard input: not a readable recording" in done_b.stderr


def test_of_a_compressed_recording_the_library_says_what_to_do(tmp_path: Path) -> None:
    import concview

    (tmp_path / "x.gz").write_bytes(gzip.compress(_recording()))
    with pytest.raises(codec.StreamError, match="compressed by gzip: unpack it first"):
        concview.open(str(tmp_path / "x.gz"))


def test_from_one_command_into_the_next() -> None:
    """As through ssh: nothing is a file on either side."""
    with target(current(), "import time\nprint('ready', flush=True)\ntime.sleep(60)\n") as process:
        made = _command("record", process.pid, "--duration", 2, "-o", "-")
        assert made.returncode == 0 and made.stdout.startswith(codec.MAGIC), made.stderr
        assert b"to standard output" in made.stderr
    done = _command("check", "-", "--format", "json", "--fail-on", "never", data=made.stdout)
    assert json.loads(done.stdout)["target"]["pid"] == process.pid, done.stderr
    page = _command("report", "-", "--format", "html", "-o", "-", data=made.stdout)
    assert page.returncode == 0 and page.stdout.startswith(b"<!doctype html"), page.stderr
    again = _command("compare", "-", "-", data=made.stdout)
    assert again.returncode == 2 and b"once" in again.stderr, again


def test_whoever_reads_the_result_may_have_seen_enough(tmp_path: Path) -> None:
    file = tmp_path / "x.concview"
    file.write_bytes(_recording())
    words = [sys.executable, "-m", "concview", "export", str(file), "--format", "jsonl", "-o", "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()
        assert child.wait(60) == 0, said


def test_a_folder_does_not_go_through_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "x.concview"
    file.write_bytes(_recording())
    done = run("export", file, "--format", "csv", "-o", "-")
    assert (done.returncode, done.stdout) == (2, "") and "-o FOLDER" in done.stderr


def test_what_is_said_names_the_file_that_was_given(tmp_path: Path) -> None:
    file = tmp_path / "x.concview.gz"
    file.write_bytes(gzip.compress(_recording()))
    done = run("replay", file)
    assert done.returncode == 2 and f"'concview check {file}' judges the recording" in done.stderr


def test_a_closed_standard_input() -> None:
    command = f"{shlex.quote(sys.executable)} -m concview check - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "standard input, which is closed" in done.stderr, done


def test_no_room_for_the_copy(tmp_path: Path) -> None:
    """It says whose room it is; that is no damage of the recording."""
    packed = tmp_path / "x.concview.gz"
    packed.write_bytes(gzip.compress(_recording()))
    small = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    for least in (small, small.replace("4096", "0")):
        code = least + "runpy.run_module('concview', run_name='__main__')"
        got = subprocess.run(
            [sys.executable, "-c", code, "check", str(packed)], capture_output=True, text=True, timeout=120
        )
        assert got.returncode == 74, got
        assert f"{packed} cannot be copied" in got.stderr and "TMPDIR" in got.stderr
