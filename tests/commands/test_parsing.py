"""Command lines: what they mean, and what is said of wrong ones."""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys

import pytest

from concview.commands import base
from concview.commands._options import pid_of, seconds_of
from concview.commands._target_process import python_command
from concview.commands.base import CommandError, Exit, commands, parse, split_rest


@pytest.mark.parametrize(
    ("line", "command", "pids"),
    [
        ("", "attach", []),
        ("1234", "attach", ["1234"]),
        ("attach 7 8", "attach", ["7", "8"]),
        ("--rate 50 9", "attach", ["9"]),
    ],
)
def test_short_forms_of_attach(line: str, command: str, pids: list[str]) -> None:
    chosen, options = parse(line.split())
    assert (chosen.name, options.pids) == (command, pids)


def test_every_command_of_the_contract_is_there_and_describes_itself() -> None:
    found = commands()
    assert {"attach", "run", "demo", "check", "dump", "record", "replay", "catalogue", "doctor"} <= set(found)
    for command in found.values():
        assert command.summary and not command.summary.endswith("."), command.name


@pytest.mark.parametrize(
    ("line", "ours", "rest"),
    [
        ("script.py --rate 5", [], ["script.py", "--rate", "5"]),
        ("--rate 5 script.py -x", ["--rate", "5"], ["script.py", "-x"]),
        ("--rate=5 -m mod -m x", ["--rate=5"], ["-m", "mod", "-m", "x"]),
        ("--blocking -- -odd-.py a -- b", ["--blocking"], ["-odd-.py", "a", "--", "b"]),
        ("--rate 5", ["--rate", "5"], None),
    ],
)
def test_run_leaves_the_target_its_own_options(line: str, ours: list[str], rest: list[str] | None) -> None:
    parser = argparse.ArgumentParser()
    commands()["run"].configure(parser)
    assert split_rest(line.split(), parser, "script") == (ours, rest)


def test_check_takes_a_command_behind_two_dashes() -> None:
    _, options = parse(["check", "--duration", "3", "--", "python", "-c", "pass", "--duration", "5"])
    assert options.rest == ["python", "-c", "pass", "--duration", "5"]
    assert (options.duration, options.subjects) == ("3", [])
    assert parse(["check", "12"])[1].rest is None


@pytest.mark.parametrize(
    "line", ["chekc 1", "check --nope", "check --format xml 1", "record 1", "replay 1 2", "dump -x"]
)
def test_a_wrong_line_says_what_is_wrong(line: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(line.split())
    assert caught.value.code == Exit.USAGE
    assert caught.value.message and caught.value.remedy


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "٣", "99999999999999999999", "2147483648"])
def test_what_is_no_pid(text: str) -> None:
    with pytest.raises(CommandError, match="is not a process id"):
        pid_of(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x", "1e9"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(CommandError, match="--duration: must be a number of seconds"):
        seconds_of(text, "--duration")


def test_what_run_runs(tmp_path: pytest.TempPathFactory) -> None:
    script = tmp_path / "a.py"  # type: ignore[operator]
    script.write_text("")
    assert python_command([str(script), "x"], "/py") == ["/py", str(script), "x"]
    assert python_command(["-m", "http.server"], "/py") == ["/py", "-m", "http.server"]
    assert python_command(["sh", "-c", "x"], "/py") == ["sh", "-c", "x"]
    for wrong in (["-m"], ["no-such-thing-here.py"]):
        with pytest.raises(CommandError):
            python_command(wrong, "/py")


def test_a_signal_that_arrives_in_a_finaliser_is_not_lost() -> None:
    source = (
        "import os, signal, sys, time\n"
        "from concview.commands import base\n"
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        "def stay(arguments):\n"
        "    Last()\n"
        "    time.sleep(300)\n"
        "    return 0\n"
        "base._run = stay\n"
        "try: base.run([])\n"
        "except base.Terminated: print('ended')\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120)
    assert done.stdout == "ended\n", done


def test_garbage_is_looked_for_seldom_while_a_command_runs_and_as_before_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = gc.get_threshold()
    monkeypatch.setattr(base, "_run", lambda arguments: gc.get_threshold()[0])
    assert base.run([]) == base.YOUNG
    assert gc.get_threshold() == before
