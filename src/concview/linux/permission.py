"""Whether the kernel lets us look at a process, found out by trying, and why not, found out by reasoning.

Rules: ptrace(2), 'Ptrace access mode checking' (uid, dumpable, capabilities), and Documentation/admin-guide/LSM/Yama.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from concview.linux.namespaces import container_of
from concview.linux.remote_memory import read_memory
from concview.text import clean

CAP_SYS_PTRACE = 19  #: include/uapi/linux/capability.h
SYSCTL = "sudo sysctl kernel.yama.ptrace_scope=0"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a process may not be looked at, in one sentence, and the exact step that would allow it."""

    why: str
    remedy: str


def status_fields(pid: int | str) -> dict[str, str]:
    """/proc/PID/status as a dictionary; empty when the process is gone or hidden."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    return {}


def has_ptrace_capability() -> bool:
    return bool(int(status_fields("self").get("CapEff", "0"), 16) >> CAP_SYS_PTRACE & 1)


def yama_scope() -> int | None:
    """kernel.yama.ptrace_scope: 0 free, 1 descendants only, 2 CAP_SYS_PTRACE only, 3 nobody. None: no Yama."""
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text("ascii"))
    except (OSError, ValueError):
        return None


def user_name(uid: int) -> str:
    try:
        return clean(pwd.getpwuid(uid).pw_name, 40)
    except KeyError:
        return f"uid {uid}"


def in_container() -> str:
    """'docker', 'podman', 'kubernetes' or ''. By the marks that these leave in a container."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    return ""


def capability(unconfined: bool = False) -> str:
    """The command that looks from a container beside ours, with the capability that ours lacks. IMAGE is one with
    concview in it; user and, in Kubernetes, container are the user's to name."""
    kind, name = in_container(), os.uname().nodename
    if kind == "kubernetes":  # the host name of a pod is its name
        profile = "sysadmin" if unconfined else "general"  # kubectl 1.27 and newer; 'general' adds SYS_PTRACE
        return (
            f"kubectl debug {shlex.quote(name)} -it --profile={profile} --image=IMAGE --target=CONTAINER -- concview "
            '(or in the pod\'s specification: securityContext: {capabilities: {add: ["SYS_PTRACE"]}})'
        )
    tool = "podman" if kind == "podman" else "docker"
    own = container_of("self").id or (name if kind else "CONTAINER")
    more = " --security-opt seccomp=unconfined" if unconfined else ""
    return (
        f"{tool} run -it --rm --pid=container:{shlex.quote(own)} --cap-add SYS_PTRACE{more} IMAGE concview "
        f"(or start this container with --cap-add SYS_PTRACE{more})"
    )


def sudo(pid: int) -> str:
    """What was asked for, as root with this very interpreter: root's own may not have concview."""
    return f"sudo {shlex.quote(sys.executable)} -m concview {_again(pid)}"


def _again(pid: int) -> str:
    """The command line that concview was given, where it names the process; else what attaches to it."""
    program, words = Path(sys.argv[0]), sys.argv[1:]
    ours = program.name == "concview" or program.parent.name == "concview"
    if not ours or str(pid) not in words or words[0] == "doctor":
        words = ["attach", str(pid)]
    return shlex.join(words)


@cache
def vm_read_error() -> int:
    """0, or the errno with which process_vm_readv fails on concview itself: a seccomp filter, a kernel without it."""
    probe = ctypes.create_string_buffer(b"x")
    try:
        read_memory(os.getpid(), ctypes.addressof(probe), 1)
    except OSError as error:
        return error.errno or errno.EPERM
    return 0


def may_open(pid: int) -> int:
    """0, or the errno of opening the process's memory: the same check that every reading of it passes. 10 µs."""
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno or errno.EACCES
    return 0


def refusal(pid: int) -> Refusal | None:
    """None when the process may be looked at (or is gone)."""
    if blocked := vm_read_error():
        return Refusal(
            f"process_vm_readv fails even on concview itself ({os.strerror(blocked)}): a seccomp filter forbids it",
            capability(unconfined=True),
        )
    failed = may_open(pid)
    if not failed or failed in (errno.ENOENT, errno.ESRCH):
        return None
    return explain(pid)


def explain(pid: int) -> Refusal:
    """The reason for a refusal that happened."""
    fields = status_fields(pid)
    uids = [int(word) for word in fields.get("Uid", "").split()]
    capable, scope = has_ptrace_capability(), yama_scope()
    if not uids:
        return Refusal(f"/proc hides process {pid} from this user (mounted with hidepid)", sudo(pid))
    if scope == 3:
        return Refusal(
            "kernel.yama.ptrace_scope is 3: no process may read another until the machine restarts",
            "set kernel.yama.ptrace_scope below 3 in /etc/sysctl.d and restart the machine",
        )
    if capable:
        return Refusal(
            "concview has CAP_SYS_PTRACE, but not in the user namespace of the process, or a security "
            "module (SELinux, AppArmor) forbids it",
            f"run concview on the host: {sudo(pid)}",
        )
    if os.geteuid() == 0:
        return Refusal(
            "concview runs as root without CAP_SYS_PTRACE, as in a container that does not grant it", capability()
        )
    if set(uids) != {os.geteuid()}:
        return _other_user(pid, next(uid for uid in uids if uid != os.geteuid()))
    if scope == 2:
        return Refusal("kernel.yama.ptrace_scope is 2: only a process with CAP_SYS_PTRACE may read another", sudo(pid))
    if scope == 1 and not _is_descendant(pid):
        return Refusal("kernel.yama.ptrace_scope is 1: only a parent may read a process", f"{SYSCTL} (or: {sudo(pid)})")
    if not dumpable(pid):
        return Refusal(
            "the process is not dumpable (it changed its user, gained privileges, or asked for it by prctl)", sudo(pid)
        )
    if int(fields.get("CapPrm", "0"), 16) & ~int(status_fields("self").get("CapPrm", "0"), 16):
        return Refusal("the process has capabilities that concview does not have", sudo(pid))
    return Refusal("the kernel refuses, and none of the known reasons applies (a security module?)", sudo(pid))


def _other_user(pid: int, uid: int) -> Refusal:
    owner = user_name(uid)
    remedy = sudo(pid)
    if uid and not owner.startswith("uid "):
        remedy = f"sudo -u {owner} concview {_again(pid)} (or: {remedy})"
    return Refusal(f"process {pid} belongs to {owner}, concview runs as {user_name(os.geteuid())}", remedy)


def _is_descendant(pid: int) -> bool:
    """Whether the process was started, directly or not, by us."""
    seen = set()
    while pid > 1 and pid not in seen:
        if pid == os.getpid():
            return True
        seen.add(pid)
        pid = int(status_fields(pid).get("PPid", "0"))
    return False


def dumpable(pid: int) -> bool | None:
    """False when /proc/PID belongs to root although the process does not. None: gone, or root's own."""
    try:
        owner = Path(f"/proc/{pid}/stat").stat().st_uid
    except OSError:
        return None
    uids = status_fields(pid).get("Uid", "").split()
    if not uids or uids[1] == "0":
        return None
    return owner == int(uids[1])
