"""Containers by their cgroups, and numbers across PID namespaces."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from concview.linux import namespaces
from concview.linux.namespaces import Container, ThreadNumbers, parse_cgroup

ID = "0123456789abcdef" * 4
UID = "0fb1c2d3-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("path", "container"),
    [
        ("/", Container()),
        ("/user.slice/user-1000.slice/session-3.scope", Container()),
        (f"/docker/{ID}", Container(ID[:12], "docker")),
        (f"/system.slice/docker-{ID}.scope", Container(ID[:12], "docker")),
        (f"/machine.slice/libpod-{ID}.scope/container", Container(ID[:12], "podman")),
        (f"/kubepods/burstable/pod{UID}/{ID}", Container(ID[:12], "", UID)),
        (
            f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID.replace('-', '_')}.slice/"
            f"cri-containerd-{ID}.scope",
            Container(ID[:12], "containerd", UID),
        ),
        (f"/kubepods-pod{UID.replace('-', '_')}.slice:cri-containerd:{ID}", Container(ID[:12], "containerd", UID)),
        (
            f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-{ID}.scope",
            Container(ID[:12], "cri-o", UID),
        ),
        # one inside another: the innermost is where it runs
        (f"/docker/{'f' * 64}/docker/{ID}", Container(ID[:12], "docker")),
        ("/lxc.payload.web1/system.slice", Container("web1", "lxc")),
        (f"/kubepods/besteffort/pod{UID}", Container("", "", UID)),
    ],
)
def test_which_container(path: str, container: Container) -> None:
    assert parse_cgroup(f"0::{path}\n") == container
    assert parse_cgroup(f"12:cpu,cpuacct:{path}\n1:name=systemd:{path}\n") == container


def test_what_it_says() -> None:
    assert Container(ID[:12], "containerd", UID).text == f"containerd 0123456789ab in pod {UID}"
    assert Container(ID[:12]).text == "container 0123456789ab"
    assert Container().text == ""


def test_our_own_namespace_needs_no_table() -> None:
    numbers = ThreadNumbers(os.getpid())
    if numbers.nested:
        pytest.skip("these tests run in a PID namespace below that of their /proc")
    assert numbers.outer(12345) == 12345 and numbers.child(77) == 77 and numbers.outer(0) == 0


def test_a_number_that_is_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Thread 7 inside is 107 outside; it ends, and another one, 208 outside, gets its number."""
    inner = {107: 7}

    def numbers(folder: str) -> tuple[int, ...]:
        name = int(folder.rpartition("/")[2])
        return (100, 1) if name == 100 else (name, inner[name]) if name in inner else ()

    monkeypatch.setattr(namespaces, "numbers", numbers)
    monkeypatch.setattr(namespaces, "tasks", lambda pid: {v: k for k, v in inner.items()})
    monkeypatch.setattr(namespaces, "_AGAIN_NS", 0)
    found = ThreadNumbers(100)
    assert found.nested and found.outer(7) == 107 and found.outer(8) == 0
    inner.clear()
    inner[208] = 7
    while not (now := found.outer(7)):  # it does not look again at once
        time.sleep(0.001)
    assert now == 208
