"""Numbers across PID namespaces, and which container a process is in.

A process in a PID namespace of its own (a container) knows its threads and children by other numbers than we do. What
comes out of its memory, its system calls or its agent is its own numbering, and is put into ours here, once; everything
behind that knows one numbering only: that of our /proc.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass

from concview.linux.family import children_of
from concview.linux.process_facts import ProcessFacts, facts_of

#: Between two looks through all threads for a number that is not known, nanoseconds: a hostile target names any.
_AGAIN_NS = 20_000_000
_MAX_CHILDREN = 1000
_NSPID = re.compile(rb"^NSpid:((?:\s+\d+)+)", re.MULTILINE)
#: 64 hex digits name a container in every runtime; in front of them the runtime, as systemd's driver writes it.
_CONTAINER = re.compile(r"(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?=$|/|:)")
#: 'kubepods-besteffort-pod0fb1..._....slice' (systemd) and 'kubepods/burstable/pod0fb1-...' (cgroupfs).
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])")
_RUNTIMES = {"docker": "docker", "libpod": "podman", "crio": "cri-o", "cri-containerd": "containerd", "lxc": "lxc"}
_LXC = re.compile(r"/lxc(?:\.payload)?[./]([\w.-]+)")
_NSPAWN = re.compile(r"/machine\.slice/(?:systemd-nspawn@|machine-)([\w.\\-]+)\.(?:service|scope)")


def numbers(folder: str) -> tuple[int, ...]:
    """A process's or thread's numbers, ours first, its own last, from the folder's `status`; () when it is gone."""
    try:
        fd = os.open(f"{folder}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = _NSPID.search(os.read(fd, 4096))
        finally:
            os.close(fd)
    except OSError:
        return ()
    return tuple(map(int, found[1].split())) if found else ()


def inner_pid(pid: int) -> int:
    """The process's number as it sees it itself."""
    found = numbers(f"/proc/{pid}")
    return found[-1] if found else pid


def tasks(process: int | ProcessFacts) -> dict[int, int]:
    """Threads of a process: numbers as it sees them -> as we do. OSError when it is gone."""
    found = {}
    folder = facts_of(process).folder
    for name in os.listdir(f"{folder}/task"):  # noqa: PTH208
        if own := numbers(f"{folder}/task/{name}"):
            found[own[-1]] = int(name)
    return found


class ThreadNumbers:
    """Thread numbers of one process, its own to ours. Free of cost where they are the same."""

    def __init__(self, process: int | ProcessFacts) -> None:
        self._facts = facts = facts_of(process)
        self.nested = len(numbers(facts.folder)) > 1  #: it is in a PID namespace below that of our /proc
        self._known: dict[int, int] = {}
        self._again_ns = 0

    def outer(self, inner: int) -> int:
        """Our number of a thread; 0 when none of the process's threads has that one."""
        if not self.nested or inner <= 0:
            return inner
        known = self._known.get(inner, 0)
        # A number is used again when its thread has ended.
        if known and numbers(f"{self._facts.folder}/task/{known}")[-1:] == (inner,):
            return known
        now = time.monotonic_ns()
        if now >= self._again_ns:
            with contextlib.suppress(OSError):
                self._known = tasks(self._facts)
            self._again_ns = now + max(_AGAIN_NS, 50 * (time.monotonic_ns() - now))
            return self._known.get(inner, 0)
        return 0

    def child(self, inner: int) -> int:
        """Our number of a child of the process; 0 when it has none of that number."""
        if not self.nested or inner <= 0:
            return inner
        if not self._facts.live:
            return 0  # its children are in no core file
        depth = len(numbers(self._facts.folder))  # a child may be in a namespace further down
        for pid in children_of(self._facts.pid)[:_MAX_CHILDREN]:
            if numbers(f"/proc/{pid}")[depth - 1 : depth] == (inner,):
                return pid
        return 0


@dataclass(frozen=True, slots=True)
class Container:
    """Which container a process is in, as its cgroup names it; empty strings where that does not tell."""

    id: str = ""  #: 12 digits, as `docker ps` shows it; a name for lxc and nspawn
    runtime: str = ""  #: 'docker', 'containerd', 'cri-o', 'podman', 'lxc', 'nspawn'
    pod: str = ""  #: Kubernetes' uid of the pod

    @property
    def name(self) -> str:
        """'docker 0123456789ab'; '' outside of any."""
        return f"{self.runtime or 'container'} {self.id}" if self.id else ""

    @property
    def text(self) -> str:
        """With the pod: 'containerd 0123456789ab in pod 8a3c...'; '' outside of any."""
        return " in ".join(part for part in (self.name, f"pod {self.pod}" if self.pod else "") if part)


def container_of(pid: int | str) -> Container:
    """By the cgroup's path. Where the cgroup namespace hides that (we are in a container ourselves): empty."""
    try:
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            text = file.read(16_384).decode("utf-8", "replace")
    except OSError:
        return Container()
    return parse_cgroup(text)


def parse_cgroup(text: str) -> Container:
    """The container named by the lines of /proc/PID/cgroup; the innermost where one runs inside another."""
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        pod = ""
        for found in _POD.finditer(path):
            pod = found[1].replace("_", "-")
        for found in reversed(list(_CONTAINER.finditer(path))):
            before = re.split(r"[/:]", path[: found.start(1)].rstrip("/:-"))[-1]
            runtime = _RUNTIMES.get(before, "")
            return Container(found[1][:12], runtime, pod)
        if found_lxc := _LXC.search(path):
            return Container(found_lxc[1][:40], "lxc", pod)
        if found_nspawn := _NSPAWN.search(path):
            return Container(found_nspawn[1][:40], "nspawn", pod)
        if pod:
            return Container("", "", pod)
    return Container()
