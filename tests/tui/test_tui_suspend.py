"""Ctrl-Z: only where a shell can bring the dashboard back, and then all of it is painted anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import fake
import pytest

from concview.tui import suspend
from concview.tui.app import ConcviewApp

ASK = "from concview.tui.suspend import job_control; print(job_control())"


def _asked(*command: str) -> str:
    """In a session of its own, without a terminal."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, start_new_session=True)
    return done.stdout.strip()


def test_a_group_without_a_shell_is_not_stopped() -> None:
    assert _asked(sys.executable, "-c", ASK) == "False"
    assert _asked("sh", "-c", f'{sys.executable} -c "{ASK}"; true') == "False", "sh without job control: the same group"


def test_behind_a_shell_with_job_control_it_is() -> None:
    assert _asked("bash", "-c", f'set -m; {sys.executable} -c "{ASK}"; true') == "True"
    assert _asked("bash", "-c", f'set -m; env {sys.executable} -c "{ASK}"; true') == "True"
    through = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{ASK}'])"
    assert _asked("bash", "-c", f'set -m; {sys.executable} -c "{through}"; true') == "True", "as sudo and timeout do"


@pytest.mark.parametrize("shell", [True, False])
async def test_the_key(shell: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspend, "job_control", lambda: shell)
    stopped: list[bool] = []
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    monkeypatch.setattr(app, "action_suspend_process", lambda: stopped.append(True))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+z")
        await fake.until(pilot, lambda: bool(stopped) or bool(len(app._notifications)))
        said = [str(n.message) for n in app._notifications]
        assert bool(stopped) is shell and (said == []) is shell
        assert shell or suspend.NO_SHELL in said


async def test_a_program_of_its_own_is_not_left_with_a_full_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspend, "job_control", lambda: True)
    stopped: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: stopped.append(number))
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(100, 24)) as pilot:
        await fake.drawn(pilot)
        app.output = object()  # type: ignore[assignment]
        app.action_suspend()
        await fake.until(pilot, lambda: suspend.WATCHED_PROGRAM in [str(n.message) for n in app._notifications])
    assert signal.SIGTSTP not in stopped


async def test_all_is_painted_anew_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ConcviewApp(fake.FakeSession([fake.busy(12)]))
    async with app.run_test(size=(100, 30)) as pilot:
        await fake.drawn(pilot)
        widgets: list[Any] = [w for w in app.screen.walk_children() if w.display]
        painted: set[int] = set()

        def remember(each: Any) -> Any:
            return lambda *regions, **_: None if regions else painted.update([id(each)])

        for each in widgets:
            monkeypatch.setattr(each, "refresh", remember(each))
        app.app_resume_signal.publish(app)
        await fake.until(pilot, lambda: painted >= {id(w) for w in widgets})
