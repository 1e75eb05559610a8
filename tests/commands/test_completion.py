"""Completion scripts: tried in the shells that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from concview.commands.base import commands


def _script(tmp_path: Path, shell: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "concview", "completion", shell], capture_output=True, text=True, timeout=60, check=True
    )
    path = tmp_path / f"_concview.{shell}"
    path.write_text(done.stdout)
    return path


def _bash(script: Path, *words: str) -> list[str]:
    line = (
        f"source {script}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; "
        '_shtab_concview; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_rules(tmp_path: Path) -> None:
    script = _script(tmp_path, "bash")
    assert set(_bash(script, "concview", "")) == set(commands())
    assert "lock-order-inversion" in _bash(script, "concview", "catalogue", "lock-o")
    assert _bash(script, "concview", "export", "--format", "spee") == ["speedscope"]
    assert "deadlock" in _bash(script, "concview", "record", "--when", "dead")
    assert "--format" in _bash(script, "concview", "check", "--for")
    (tmp_path / "here.cvrec").write_bytes(b"")
    assert str(tmp_path / "here.cvrec") in _bash(script, "concview", "replay", f"{tmp_path}/her")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_theirs(tmp_path: Path, shell: str) -> None:
    script = _script(tmp_path, shell)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script is made, and not tried")
    subprocess.run([shell, "-n", str(script)], check=True, timeout=30)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_commands_files_and_processes(tmp_path: Path) -> None:
    script = _script(tmp_path, "fish")
    (tmp_path / "here.cvrec").write_bytes(b"")

    def offered(line: str) -> list[str]:
        said = f"source {script}; complete -C '{line}'"
        home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        done = subprocess.run(["fish", "-c", said], capture_output=True, text=True, timeout=60, check=True, env=home)
        return [row.partition("\t")[0] for row in done.stdout.splitlines()]

    assert set(commands()) <= set(offered("concview "))
    assert offered("concview catalogue lock-o") == ["lock-order-inversion"]
    for line in ("concview replay", "concview record 1 --output"):
        assert offered(f"{line} {tmp_path}/her") == [f"{tmp_path}/here.cvrec"]
    with subprocess.Popen([sys.executable, "-c", "\nimport time\ntime.sleep(60)\n"]) as process:
        try:
            assert str(process.pid) in offered("concview attach ")
        finally:
            process.kill()
