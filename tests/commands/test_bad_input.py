"""Bad input: one clear line, the right exit code, never a traceback. Everything is run for real."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from running import CONCVIEW, ROOT, Terminal, alive, eventually, one_line, run, watched

from capacity import WAITS
from concview import codec
from interpreters import Process, current, target

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
NOISE = random.Random(1).randbytes(5000)
WATCHERS = (["attach"], ["check"], ["dump"], ["record", "-o", "/nonexistent/x"], ["doctor"])


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


def unused_pid() -> int:
    with process("true") as popen:
        popen.wait()
        return popen.pid


@pytest.mark.parametrize("command", WATCHERS[:4], ids=lambda c: c[0])
def test_no_such_pid(command: list[str]) -> None:
    pid = unused_pid()
    one_line(run(*command, pid), 4, f"no process {pid}")


@pytest.mark.parametrize("command", WATCHERS[:4], ids=lambda c: c[0])
def test_not_python(command: list[str]) -> None:
    with process("sleep", "60") as popen:
        one_line(run(*command, popen.pid), 4, "not a Python process")


def test_doctor_says_the_same_with_the_same_code() -> None:
    with process("sleep", "60") as popen:
        result = run("doctor", popen.pid)
        assert (result.returncode, result.stderr) == (4, "")
        assert "not a Python process" in result.stdout
    assert run("doctor", unused_pid()).returncode == 4
    assert run("doctor", os.getpid()).returncode == 0


@pytest.mark.parametrize("command", WATCHERS[:4], ids=lambda c: c[0])
def test_a_zombie(command: list[str]) -> None:
    with process("true") as popen:
        eventually(lambda: not alive(popen.pid))  # and not collected until the block ends
        one_line(run(*command, popen.pid), 4, "zombie")


def test_what_is_no_pid() -> None:
    for command in WATCHERS[:1] + WATCHERS[2:]:
        one_line(run(*command, "12x"), 2, "'12x' is not a process id")
    one_line(run("99999999999999999999"), 2, "is not a process id")


def test_wrong_values_are_named() -> None:
    pid = os.getpid()
    one_line(run("check", pid, "--rate", "0"), 2, "--rate: must be a number from 1 to 1000")
    one_line(run("check", pid, "--budget", "x"), 2, "--budget")
    one_line(run("check", pid, "--engine", "x"), 2, "--engine", "direct")
    one_line(run("check", pid, "--duration", "-1"), 2, "--duration")
    one_line(run("check", pid, "--fail-on", "x"), 2, "--fail-on")
    one_line(run("check"), 2, "what to check?")
    one_line(run("check", pid, "--", "true"), 2)
    one_line(run("demo", "?"), 2, "no such demo: ?", "lock-held-across-io")
    one_line(run("demo", "lock-held"), 2, "no such demo: lock-held", "did you mean lock-held-across-io")
    one_line(run("demo", "--python", "/no/such", "--headless"), 2, "/no/such")
    one_line(run("catalogue", "deadlok"), 2, "did you mean 'deadlock'?")
    one_line(run("frobnicate"), 2, "no such command: frobnicate", "commands: ", "by its PID; 'concview' without")
    one_line(run("check", pid, "--config", "/no/such.toml"), 2, "/no/such.toml: No such file")


# ---------------------------------------------------------------- permission


def _nobody(*command: object) -> subprocess.CompletedProcess[str]:
    """Run one command line as a user without rights; skips where that cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: another user's process (needs root to become somebody else)")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [p for p in sys.path if p.endswith("-packages")] + [str(ROOT / "src")]
    # This Python may lie in a folder that is closed to others; one of the same version elsewhere does as well.
    for python in filter(None, (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin:/bin"))):
        with contextlib.suppress(OSError):
            result = _as_nobody([python, "-m", "concview", "--version"], places)
            if result.returncode == 0:
                return _as_nobody([python, "-m", "concview", *map(str, command)], places)
    pytest.skip("NOT TESTED: another user's process (nobody may not run this Python or read this checkout)")


def _as_nobody(command: list[str], places: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(places)},
    )


@pytest.mark.parametrize("command", ["attach", "check", "dump"])
def test_somebody_elses_process(command: str) -> None:
    with target(current(), SLEEPER) as other:
        result = _nobody(command, other.pid)
        line = one_line(result, 3)
        assert len(result.stderr.splitlines()) == 2, f"no remedy: {result.stderr}"
        assert str(other.pid) in line or "root" in line


def test_doctor_gives_the_remedy() -> None:
    with target(current(), SLEEPER) as other:
        result = _nobody("doctor", other.pid)
        assert result.returncode == 3
        assert "->" in result.stdout
        assert "sudo" in result.stdout or "CAP_SYS_PTRACE" in result.stdout


# ---------------------------------------------------------------- targets that change


def checked_until(process: Process, word: str) -> subprocess.CompletedProcess[str]:
    """Check a target for a long time; once that has begun, tell the target to do what it does next."""
    command = [*CONCVIEW, "check", str(process.pid), "--duration", "300"]
    popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")
    eventually(lambda: watched(popen.pid, process.pid))
    process.send(word)
    out, errors = popen.communicate(timeout=100)
    return subprocess.CompletedProcess(command, popen.returncode, out, errors)


@pytest.mark.units(WAITS)
def test_the_target_exits_while_it_is_checked() -> None:
    with target(current(), "print('ready', flush=True)\ninput()\n") as short:
        result = checked_until(short, "end")
        assert result.returncode == 0, result.stderr
        assert "the target exited" in result.stdout


@pytest.mark.units(WAITS)
def test_the_target_becomes_another_program_while_it_is_checked() -> None:
    source = "import os\nprint('ready', flush=True)\ninput()\nos.execvp('sleep', ['sleep', '60'])\n"
    with target(current(), source) as other:
        result = checked_until(other, "exec")
        assert result.returncode == 0, result.stderr
        assert "became another program" in result.stdout


def test_a_stopped_target_is_told_and_goes_on_afterwards() -> None:
    with target(current(), SLEEPER) as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            result = run("check", stopped.pid, "--duration", "1.5")
            assert result.returncode == 0, result.stderr
            assert "stopped" in result.stdout
            assert "Traceback" not in result.stderr
            assert "stopped" in run("dump", stopped.pid).stdout
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        assert alive(stopped.pid)


def test_a_command_that_ends_at_once() -> None:
    result = run("check", "--", sys.executable, "-c", "pass")
    one_line(result, 4, "ended before anything was seen (exit code 0)")


def test_a_command_that_never_is_python() -> None:
    result = run("check", "--", "sleep", "1")
    one_line(result, 4, "ended before anything was seen (exit code 0); it was no Python process")


def test_a_word_instead_of_a_pid_leads_to_the_processes_that_have_it() -> None:
    with target(current(), SLEEPER, "named-by-a-word") as process:
        one_line(run("check", "named-by-a-word"), 5, "named-by-a-word: no such file", f"by its PID: {process.pid} (")
        one_line(run("named-by-a-word"), 2, "no such command", f"by its PID: {process.pid} (")


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"\x00\x01\x02")
    (tmp_path / "program").chmod(0o755)
    one_line(run("check", "--", tmp_path / "program"), 2, "cannot be started")
    one_line(run("check", "--", "no-such-command-here"), 2, "no such script or command")


def old_pythons() -> list[str]:
    """Interpreters older than any engine reads, where the machine has them."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    names = ("2.7", "3.5", "3.6", "3.7")
    return [str(p / "bin/python") for n in names for p in sorted(root.glob(f"{n}.*")) if (p / "bin/python").exists()]


@pytest.mark.parametrize(
    "python",
    old_pythons() or [pytest.param("", marks=pytest.mark.skip(reason="NOT TESTED: no Python older than 3.8 found"))],
    ids=lambda p: Path(p).parts[-3] if p else "none",
)
def test_an_unsupported_version(python: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with process(python, "-c", f"import time; open({str(begun)!r}, 'w'); time.sleep(60)") as popen:
        eventually(begun.exists)
        result = run("check", popen.pid, "--engine", "direct", "--duration", "1")
        one_line(result, 4)
        assert "2.7" in result.stderr or "3." in result.stderr


# ---------------------------------------------------------------- recordings


@pytest.fixture(scope="module")
def recording() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder, target(current(), SLEEPER) as watched:
        path = Path(folder, "r.concview")
        result = run("record", watched.pid, "-o", path, "--duration", "1.5")
        assert result.returncode == 0, result.stderr
        yield path.read_bytes()


@pytest.mark.parametrize("command", ["check", "replay"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello, this is text\n" * 40, "not a concview recording"),
        (NOISE, "not a concview recording"),
        (b"CONCVIEW", "no block"),
        (b"CONCVIEW" + NOISE[:500], "damaged"),
    ],
    ids=["empty", "text", "random", "only-magic", "magic-and-noise"],
)
def test_what_is_no_recording(tmp_path: Path, command: str, content: bytes, words: str) -> None:
    path = tmp_path / "x.concview"
    path.write_bytes(content)
    one_line(run(command, path), 5, words)


@pytest.mark.parametrize("command", ["check", "replay"])
def test_files_that_cannot_be_read(tmp_path: Path, command: str) -> None:
    one_line(run(command, tmp_path / "none"), 5, "no such file")
    one_line(run(command, tmp_path), 5, "directory")


def test_a_recording_cut_off_anywhere_is_read_as_far_as_it_goes(tmp_path: Path, recording: bytes) -> None:
    path = tmp_path / "cut.concview"
    codes = set()
    for part in (0.02, 0.3, 0.6, 0.95):
        path.write_bytes(recording[: int(len(recording) * part)])
        result = run("check", path)
        codes.add(result.returncode)
        assert "Traceback" not in result.stderr
        if result.returncode == 0:
            assert "breaks off" in result.stdout, result.stdout
        else:
            one_line(result, 5, "breaks off")
    assert 0 in codes


def test_a_recording_that_breaks_off_behind_its_greeting(tmp_path: Path, recording: bytes) -> None:
    """Before anything was seen: no process has gone, the file is damaged."""
    greeting = next(iter(codec._payloads(io.BytesIO(recording))))
    hello = msgspec.msgpack.decode(greeting)[0]
    path = tmp_path / "greeting.concview"
    path.write_bytes(codec.MAGIC + codec.block_of(msgspec.msgpack.encode([hello])) + recording[-20:])
    one_line(run("check", path), 5, "breaks off")


def test_a_flipped_byte_is_noticed(tmp_path: Path, recording: bytes) -> None:
    path = tmp_path / "flipped.concview"
    content = bytearray(recording)
    content[len(content) * 3 // 4] ^= 0xFF
    path.write_bytes(content)
    result = run("check", path)
    assert result.returncode == 0, result
    assert "breaks off" in result.stdout


# ---------------------------------------------------------------- terminals


@pytest.mark.parametrize("arguments", [[], ["demo"], ["run", "x.py"]], ids=["picker", "demo", "run"])
def test_without_a_terminal_there_is_advice(arguments: list[str], tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text("raise SystemExit('must not run')")
    arguments = [str(script) if a == "x.py" else a for a in arguments]
    one_line(run(*arguments), 2, "needs a terminal", "concview")


def test_attach_and_replay_without_a_terminal(tmp_path: Path, recording: bytes) -> None:
    with target(current(), SLEEPER) as watched:
        one_line(run("attach", watched.pid), 2, "needs a terminal", "check")
        one_line(run(watched.pid), 2, "needs a terminal")
    path = tmp_path / "r.concview"
    path.write_bytes(recording)
    one_line(run("replay", path), 2, "needs a terminal")


def test_a_terminal_that_is_too_small() -> None:
    with target(current(), SLEEPER) as watched, Terminal(watched.pid, columns=40, rows=8) as terminal:
        terminal.wait_for("60x12")
        terminal.press("q")
        assert terminal.end() == 0
        assert alive(watched.pid)


def test_a_terminal_that_cannot_move_its_cursor() -> None:
    with target(current(), SLEEPER) as watched, Terminal(watched.pid, TERM="dumb") as terminal:
        assert terminal.end() == 2
        assert "TERM=dumb" in terminal.text
