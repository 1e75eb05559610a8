"""What is to be known of one process before it is looked at. Rows like those of `machine`."""

from __future__ import annotations

import os
from pathlib import Path

from concview.linux import permission, switches, wakeups
from concview.linux.machine import Row
from concview.linux.namespaces import container_of
from concview.linux.remote_memory import read_memory
from concview.text import clean

_STATES = {"T": "stopped by a signal: threads stand still until `kill -CONT`", "t": "stopped by a debugger"}


def rows(pid: int) -> list[Row]:
    fields = permission.status_fields(pid)
    if not fields:
        return [("process", None, f"process {pid} has ended, or is hidden from this user", "")]
    return [
        _owner(pid, fields),
        _state(pid, fields),
        _memory(pid),
        _mem_file(pid),
        _syscall(pid),
        _tracer(fields),
        _dumpable(pid),
        _namespaces(pid, fields),
        _seccomp(fields),
        _switches(pid),
        _wakers(),
    ]


def _switches(pid: int) -> Row:
    """One event, by the call that exact waits use. Everything else works without."""
    able = switches.probe(pid)
    if not able.available and wakeups.probe().available:
        return "exact waits", True, "programs in the kernel (BPF) record this process's switches", ""
    return "exact waits", able.available, able.why or "perf_event_open records this process's switches", able.enable


def _wakers() -> Row:
    """The programs of `linux.wakeups`, loaded and let run for a moment. Everything else works without."""
    able = wakeups.probe()
    said = able.why or "programs in the kernel (BPF) tell who wakes each thread"
    return "who woke whom", able.available, said, able.enable


def _owner(pid: int, fields: dict[str, str]) -> Row:
    uids = {int(word) for word in fields.get("Uid", "").split()}
    names = ", ".join(permission.user_name(uid) for uid in sorted(uids))
    if uids == {os.geteuid()}:
        return "owner", True, f"{names}, the user that concview runs as", ""
    if permission.has_ptrace_capability():
        return "owner", True, f"{names}; CAP_SYS_PTRACE allows concview to read it", ""
    return "owner", False, f"{names}, not the user that concview runs as", permission.explain(pid).remedy


def _state(pid: int, fields: dict[str, str]) -> Row:
    letter = fields.get("State", "?")[:1]
    if letter in _STATES:
        return "state", True, _STATES[letter].replace("-CONT", f"-CONT {pid}"), ""
    return "state", True, "running", ""


def _memory(pid: int) -> Row:
    """One byte, by the call that sampling uses."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            line = file.readline()
        if not line:
            return "memory", None, "the process has no memory (a kernel thread, or it is about to end)", ""
        read_memory(pid, int(line.partition("-")[0], 16), 1)
    except PermissionError as error:
        refused = permission.refusal(pid) or permission.explain(pid)
        return "memory", False, f"one byte of memory: {error.strerror}; {refused.why}", refused.remedy
    except OSError as error:
        return "memory", None, f"one byte of memory: {error.strerror}", ""
    return "memory", True, "process_vm_readv of one byte works", ""


def _opened(name: str, path: str, meaning: str, pid: int) -> Row:
    try:
        with open(path, "rb", 0) as file:
            if not path.endswith("/mem"):
                file.read(256)
    except PermissionError as error:
        return name, False, f"{path}: {error.strerror}", permission.explain(pid).remedy
    except FileNotFoundError:
        return name, None, f"{path} does not exist", ""
    except OSError as error:
        return name, None, f"{path}: {error.strerror}", ""
    return name, True, meaning, ""


def _mem_file(pid: int) -> Row:
    return _opened("mem file", f"/proc/{pid}/mem", "/proc/PID/mem can be opened", pid)


def _syscall(pid: int) -> Row:
    return _opened("wait states", f"/proc/{pid}/task/{pid}/syscall", "the kernel says what each thread waits for", pid)


def _tracer(fields: dict[str, str]) -> Row:
    tracer = int(fields.get("TracerPid", "0"))
    if not tracer:
        return "tracer", True, "no debugger is attached", ""
    name = clean(permission.status_fields(tracer).get("Name", "?"), 40)
    text = f"process {tracer} ({name}) traces it; concview works beside it, as it does not stop processes"
    return "tracer", True, text + ", but times include what the tracer costs", ""


def _dumpable(pid: int) -> Row:
    state = permission.dumpable(pid)
    if state is None:
        return "dumpable", None, "cannot be told for a process of root", ""
    if state:
        return "dumpable", True, "the process is dumpable: its user may read it", ""
    ok = permission.has_ptrace_capability()
    return "dumpable", ok, "the process is not dumpable: reading it needs CAP_SYS_PTRACE", permission.sudo(pid)


def _namespaces(pid: int, fields: dict[str, str]) -> Row:
    differ, hidden = [], []
    for kind in ("pid", "mnt", "user", "net"):
        try:
            ours, its = Path(f"/proc/self/ns/{kind}").readlink(), Path(f"/proc/{pid}/ns/{kind}").readlink()
        except OSError:
            hidden.append(kind)
            continue
        if ours != its:
            differ.append(kind)
    inner = fields.get("NSpid", "").split()
    if "pid" in hidden and len(inner) > 1:
        differ.append("pid")
    place = container_of(pid).text or ("a container" if differ else "")
    if differ:
        number = f", where it is process {inner[-1]}" if len(inner) > 1 else ""
        return "namespaces", True, clean(f"{place} (own {', '.join(differ)} namespace{number})"), ""
    if hidden:
        return "namespaces", None, "cannot be read", ""
    return "namespaces", True, "the same as concview's" + (clean(f", in {place}") if place else ""), ""


def _seccomp(fields: dict[str, str]) -> Row:
    mode = fields.get("Seccomp", "")
    text = "has a seccomp filter of its own, which does not affect concview" if mode == "2" else "none"
    return "its seccomp", True if mode else None, text if mode else "the kernel does not say", ""
