"""What this machine and our own rights allow in general. Rows for the doctor.

A row: name; True, False or None for unknown; explanation; remedy ('' where there is none).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from concview.linux import permission
from concview.text import clean

Row = tuple[str, bool | None, str, str]
#: Checks without which nothing can be attached.
BLOCKING = ("machine", "ptrace_scope", "memory reads")
_SCOPES = {
    0: "a process may read those of its own user",
    1: "only a parent may read a process: `concview run` works, `concview attach` does not",
    2: "only a process with CAP_SYS_PTRACE may read another",
    3: "no process may read another until the machine restarts",
}
#: Documentation/userspace-api/seccomp_filter.rst
_SECCOMP = {"0": "no seccomp filter", "1": "strict seccomp mode", "2": "a seccomp filter is active"}


def rows() -> list[Row]:
    return [_machine(), _rights(), _yama(), _seccomp(), _memory(), _container(), _proc(), _schedstat(), _pyspy()]


def _machine() -> Row:
    ok = platform.system() == "Linux" and os.uname().machine in ("x86_64", "aarch64")
    text = f"{platform.system()} {os.uname().release} on {os.uname().machine}"
    return "machine", ok, text, "" if ok else "use concview on Linux, x86-64 or aarch64"


def _rights() -> Row:
    user = permission.user_name(os.geteuid())
    if permission.has_ptrace_capability():
        return "rights", True, f"{user} with CAP_SYS_PTRACE: processes of every user can be read", ""
    if os.geteuid() == 0:
        text = "root without CAP_SYS_PTRACE: only processes with no more capabilities can be read"
        return "rights", False, text, permission.capability()
    return "rights", True, f"{user} without CAP_SYS_PTRACE: only processes of this user can be read", ""


def _yama() -> Row:
    scope = permission.yama_scope()
    if scope is None:
        return "ptrace_scope", True, "the kernel has no Yama restriction", ""
    allowed = scope == 0 or (scope < 3 and permission.has_ptrace_capability())
    remedy = {1: permission.SYSCTL, 2: f"sudo {sys.executable} -m concview"}.get(scope, "restart with a lower value")
    return (
        "ptrace_scope",
        allowed,
        f"kernel.yama.ptrace_scope is {scope}: {_SCOPES.get(scope, 'unknown value')}",
        "" if allowed else remedy,
    )


def _seccomp() -> Row:
    mode = permission.status_fields("self").get("Seccomp", "")
    return "seccomp", True if mode else None, _SECCOMP.get(mode, "the kernel does not say"), ""


def _memory() -> Row:
    failed = permission.vm_read_error()
    if failed:
        return (
            "memory reads",
            False,
            f"process_vm_readv fails even on concview itself: {os.strerror(failed)}; a seccomp filter forbids it",
            permission.capability(unconfined=True),
        )
    return "memory reads", True, "process_vm_readv works, as tried on concview itself", ""


def _container() -> Row:
    kind = permission.in_container()
    if not kind:
        return "container", True, "none recognised", ""
    text = f"concview runs in one ({kind}): only the processes in it can be seen"
    return "container", True, text, ""


def _proc() -> Row:
    try:
        own = os.readlink("/proc/self")  # noqa: PTH115
    except OSError:
        return "/proc", False, "not mounted", "mount -t proc proc /proc"
    if own != str(os.getpid()):
        text = f"of another PID namespace, in which concview is process {clean(own, 20)}: process numbers differ"
        return "/proc", False, text, "run concview in the PID namespace that /proc is of (nsenter -t 1 -p -m)"
    for line in _read("/proc/self/mounts").splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1] == "/proc":
            hide = next((o.partition("=")[2] for o in fields[3].split(",") if o.startswith("hidepid=")), "0")
            if hide in ("0", "off"):
                return "/proc", True, "shows the processes of every user", ""
            text = f"mounted with hidepid={clean(hide, 20)}: other users' processes are hidden"
            return "/proc", permission.has_ptrace_capability(), text, "sudo mount -o remount,hidepid=0 /proc"
    return "/proc", None, "not in the list of mounts", ""


def _schedstat() -> Row:
    fields = _read("/proc/self/schedstat").split()
    if len(fields) == 3 and fields[2] != "0":
        return "schedstat", True, "the kernel counts run-queue delay", ""
    text = "the kernel does not count run-queue delay: waiting for a CPU shows as running"
    return "schedstat", False, text, "use a kernel with CONFIG_SCHED_INFO"


def pyspy() -> str:
    """Path of the py-spy program, ours first; '' when there is none."""
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy") or ""


def _pyspy() -> Row:
    path = pyspy()
    remedy = f"{sys.executable} -m pip install py-spy"
    if not path:
        return "py-spy", False, "not found: no Python before 3.8, no native frames, no locals", remedy
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return "py-spy", False, clean(f"{path} does not run: {error}"), remedy
    return "py-spy", True, clean(done.stdout.strip()), ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
