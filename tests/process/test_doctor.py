"""The doctor: verdicts on real processes, and the reasons it would give on other machines."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from nobody import as_nobody, needs_root

from concview.errors import NoSuchProcess, NotPython
from concview.linux import machine, permission
from concview.linux.namespaces import Container
from concview.process import doctor, examination, support
from concview.process.doctor import Outcome, Report, examine
from concview.process.pythons import Python
from interpreters import Interpreter, current, target

WAITS = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"


def outcomes(report: Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def well_formed(report: Report) -> None:
    assert report.verdict.endswith(".") and "\n" not in report.verdict
    for check in report.checks:
        assert check.explanation.isprintable()
        assert not (check.outcome is Outcome.OK and check.remedy), "what is well needs no remedy"


@pytest.mark.few
def test_own_process(any_python: Interpreter) -> None:
    with target(any_python, WAITS) as process:
        report = examine(process.pid)
        well_formed(report)
        assert report.attachable and report.error is None
        version = f"{any_python.version[0]}.{any_python.version[1]}.{any_python.micro}"
        assert report.verdict.startswith(f"Process {process.pid} (Python {version}) can be attached, engine direct")
        found = outcomes(report)
        for name in ("python", "owner", "memory", "mem file", "wait states", "tracer", "namespaces"):
            assert found[name] is Outcome.OK, name


def test_the_machine() -> None:
    report = examine()
    well_formed(report)
    assert report.pid is None and report.attachable
    assert set(machine.BLOCKING) <= set(outcomes(report))


def test_stopped_gone_and_not_python() -> None:
    with target(current(), WAITS) as process:
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while permission.status_fields(process.pid)["State"][0] != "T":  # the signal is delivered in its own time
            assert time.monotonic() < deadline
            time.sleep(0.01)
        report = examine(process.pid)
        assert report.attachable
        assert f"kill -CONT {process.pid}" in next(c.explanation for c in report.checks if c.name == "state")
    report = examine(process.pid)
    assert isinstance(report.error, NoSuchProcess) and not report.attachable
    well_formed(report)
    with subprocess.Popen(["sleep", "100"]) as other:
        try:
            report = examine(other.pid)
        finally:
            other.kill()
    assert isinstance(report.error, NotPython) and not report.attachable
    well_formed(report)


TRACED = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.ptrace(0, 0, 0, 0)  # PTRACE_TRACEME: the parent is our tracer now
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_debugger_is_noticed() -> None:
    with target(current(), TRACED) as process:
        report = examine(process.pid)
        assert str(os.getpid()) in next(c.explanation for c in report.checks if c.name == "tracer")
        assert report.attachable


@needs_root
def test_somebody_elses_process() -> None:
    with target(current(), WAITS) as process:

        def look() -> list[object]:
            report = examine(process.pid)
            failed = [c for c in report.checks if c.outcome is Outcome.FAILED]
            remedies = [c.remedy for c in failed if c.remedy]
            return [report.attachable, report.verdict, remedies, [c.name for c in failed], type(report.error).__name__]

        attachable, verdict, remedies, failed, error = as_nobody(look)
        assert not attachable and error == "NotPermitted"
        assert "belongs to root" in verdict
        assert remedies[0] == f"sudo {sys.executable} -m concview attach {process.pid}"
        assert {"permission", "owner", "memory", "mem file", "wait states"} <= set(failed)


@needs_root
def test_a_process_that_is_not_dumpable() -> None:
    """prctl(PR_SET_DUMPABLE, 0) after changing the user: it hides even from its own user."""
    hides = (
        "import ctypes, os, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "ctypes.CDLL(None).prctl(4, 0)\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    )
    with target(current(), hides) as process:
        assert permission.dumpable(process.pid) is False
        assert examine(process.pid).attachable, "root may look all the same"
        why, remedy = as_nobody(lambda: _refused(process.pid))
        assert "not dumpable" in why and remedy.startswith("sudo ")


def _refused(pid: int) -> list[str]:
    found = permission.refusal(pid)
    return [found.why, found.remedy] if found else []


@pytest.fixture
def powerless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if we were the ordinary user 1000 without capabilities, and the process ours."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(permission, "has_ptrace_capability", lambda: False)
    monkeypatch.setattr(permission, "yama_scope", lambda: None)
    monkeypatch.setattr(permission, "in_container", lambda: "")
    monkeypatch.setattr(permission, "dumpable", lambda pid: True)
    monkeypatch.setattr(permission, "status_fields", lambda pid: {"Uid": "1000 1000 1000 1000", "PPid": "1"})
    return monkeypatch


@pytest.mark.parametrize(
    ("scope", "remedy"),
    [(1, "sudo sysctl kernel.yama.ptrace_scope=0"), (2, f"sudo {sys.executable}"), (3, "restart the machine")],
)
def test_yama(powerless: pytest.MonkeyPatch, scope: int, remedy: str) -> None:
    powerless.setattr(permission, "yama_scope", lambda: scope)
    found = permission.explain(12345)
    assert f"ptrace_scope is {scope}" in found.why
    assert remedy in found.remedy
    row = machine._yama()
    assert row[1] is False and row[3]


def test_root_in_a_container(powerless: pytest.MonkeyPatch) -> None:
    powerless.setattr(os, "geteuid", lambda: 0)
    powerless.setattr(permission, "in_container", lambda: "docker")
    powerless.setattr(permission, "container_of", lambda pid: Container("0123456789ab", "docker"))
    line = "docker run -it --rm --pid=container:0123456789ab --cap-add SYS_PTRACE IMAGE concview"
    assert permission.explain(12345).remedy.startswith(line)
    powerless.setattr(permission, "in_container", lambda: "kubernetes")
    powerless.setattr(os, "uname", lambda: SimpleNamespace(nodename="shop-7d4b9-x2x8k"))
    line = "kubectl debug shop-7d4b9-x2x8k -it --profile=general --image=IMAGE --target=CONTAINER -- concview "
    remedy = permission.explain(12345).remedy
    assert remedy.startswith(line) and 'securityContext: {capabilities: {add: ["SYS_PTRACE"]}}' in remedy


def test_other_owner(powerless: pytest.MonkeyPatch) -> None:
    powerless.setattr(permission, "status_fields", lambda pid: {"Uid": "65534 65534 65534 65534"})
    powerless.setattr(permission, "user_name", lambda uid: "www-data")
    assert permission.explain(7).remedy.startswith("sudo -u www-data concview attach 7 (or: sudo ")


def test_hidden_process(powerless: pytest.MonkeyPatch) -> None:
    powerless.setattr(permission, "status_fields", lambda pid: {})
    assert "hidepid" in permission.explain(7).why


def test_seccomp_forbids_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permission, "vm_read_error", lambda: errno.EPERM)
    found = permission.refusal(os.getpid())
    assert found is not None and "seccomp" in found.why and "seccomp=unconfined" in found.remedy
    report = examine()
    assert not report.attachable and "memory reads" in report.verdict


def test_a_process_in_a_container() -> None:
    row = examination._namespaces(os.getpid(), {"NSpid": "4242 7"})
    assert row[1] is True


def test_proc_of_another_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's /proc in a container: numbers read there are not those that system calls take."""
    monkeypatch.setattr(os, "readlink", lambda path: "4242")
    name, fine, text, remedy = machine._proc()
    assert (name, fine) == ("/proc", False) and "4242" in text and remedy


@pytest.mark.parametrize(
    ("python", "engines", "why"),
    [
        (Python("3.13.0"), ["direct", "pyspy"], ""),
        (Python("3.15.2"), ["direct"], ""),
        (Python("3.14.0", free_threaded=True), ["direct"], ""),
        (Python("3.8.18"), ["direct", "pyspy"], ""),
        (Python(""), ["direct", "pyspy"], ""),
        (Python("2.7"), ["pyspy"], ""),
        (Python("2.6"), [], "older than 2.7"),
        (Python("3.99.1"), [], "newer than this concview knows"),
    ],
)
def test_which_engine_reads_which_python(python: Python, engines: list[str], why: str) -> None:
    assert support.engines_for(python) == engines
    found, remedy = support.unsupported(python)
    assert why in found and bool(found) == bool(why) == bool(remedy)


def test_an_unsupported_python_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "DIRECT", ((4, 0), (4, 1)))
    monkeypatch.setattr(support, "PYSPY", ((4, 0), (4, 1)))
    with target(current(), WAITS) as process:
        report = doctor.examine(process.pid)
    assert not report.attachable and report.error is not None and report.error.remedy
    assert report.error.exit_code == 4
