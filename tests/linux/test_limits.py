"""Limits from cgroups of both versions, in a made-up tree."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from concview.linux import limits


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Version 2: /, /outer (2 CPUs, 1 GiB), /outer/inner (no limits)."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "outer" / "cpu.max").write_text("200000 100000\n")
    (tmp_path / "outer" / "memory.max").write_text(f"{1 << 30}\n")
    (tmp_path / "outer" / "cpu.stat").write_text("usage_usec 5\nnr_throttled 3\nthrottled_usec 1500000\n")
    (inner / "cpu.max").write_text("max 100000\n")
    (inner / "memory.max").write_text("max\n")
    (inner / "cpu.stat").write_text("usage_usec 5\n")
    monkeypatch.setattr(limits, "_mounts", lambda: {"": tmp_path})
    monkeypatch.setattr(limits, "cgroups", lambda pid: {"": "/outer/inner"})
    return tmp_path


def test_a_limit_of_any_group_above_binds(two: Path) -> None:
    found = limits.limits(os.getpid())
    assert found.quota == 2.0
    assert found.cpus == min(2.0, len(os.sched_getaffinity(0)))
    assert found.memory == min(1 << 30, psutil.virtual_memory().total)
    assert limits.throttle_files(os.getpid()) == [two / "outer" / "cpu.stat"]
    # The group whose quota was hit counts the throttling, and no other: with two quotas both have to be read.
    (two / "outer" / "inner" / "cpu.max").write_text("100000 100000\n")
    both = [two / "outer" / "inner" / "cpu.stat", two / "outer" / "cpu.stat"]
    assert limits.throttle_files(os.getpid()) == both


def test_version_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, memory = tmp_path / "cpu" / "job", tmp_path / "memory"
    cpu.mkdir(parents=True)
    memory.mkdir()
    (cpu / "cpu.cfs_quota_us").write_text("50000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (cpu / "cpu.stat").write_text("nr_periods 1\nthrottled_time 2500000000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # what version 1 writes for 'no limit'
    monkeypatch.setattr(limits, "_mounts", lambda: {"cpu": tmp_path / "cpu", "memory": memory})
    monkeypatch.setattr(limits, "cgroups", lambda pid: {"cpu": "/job", "memory": "/not/visible/from/here"})
    found = limits.limits(os.getpid())
    assert (found.quota, found.cpus) == (0.5, 0.5)
    assert found.memory == psutil.virtual_memory().total
    assert limits.throttle_files(os.getpid()) == [cpu / "cpu.stat"]


def test_a_group_outside_our_namespace(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cgroups", lambda pid: {"": "/../../outer"})
    assert limits.cpu_quota(os.getpid()) == 2.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("throttled_usec 1500000\n", 1.5), ("throttled_time 2500000000\n", 2.5), ("nr_periods 1\n", 0.0), ("", 0.0)],
)
def test_throttling(text: str, seconds: float) -> None:
    assert limits.parse_throttled(text) == seconds


def test_this_process() -> None:
    found = limits.limits(os.getpid())
    assert 0 < found.cpus <= found.machine_cpus
    assert 0 < found.memory <= psutil.virtual_memory().total
    assert found.descriptors > 0
