"""Programs of other users, in containers, under gevent and eventlet."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import agent_helpers as h
import pytest

from concview.agent_host.messages import Refused
from interpreters import current, target

PATCHED = """
%s
import time, threading
def nap():
    while True: time.sleep(0.01)
for _ in range(3): threading.Thread(target=nap, daemon=True).start()
print("ready", flush=True)
nap()
"""
LIBRARIES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()",
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_cooperative_libraries_are_not_broken(library: str) -> None:
    """The agent is a thread of the kernel's there, too, and profiling that would be wrong is refused."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    with target(current(), PATCHED % LIBRARIES[library]) as process:
        before = h.threads(process.pid)
        attachment = h.visit(process.pid)
        assert attachment.hello is not None and attachment.hello.library == library
        assert h.threads(process.pid) == before + 1
        h.report(attachment)
        attachment.open_window("wall", 1.0)
        assert library in h.until(attachment, lambda m: m if isinstance(m, Refused) else None).why
        h.leave(attachment)
        h.eventually(lambda: h.threads(process.pid) == before)


#: An interpreter that everybody may run; the tests' own may lie in a private folder.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
AS = {
    "other-user": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    "container": ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "sh", "-c",
                  'mount -t tmpfs x /tmp && exec "$@"', "sh"],
}  # fmt: skip


@pytest.mark.parametrize("place", AS)
def test_elsewhere(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if os.geteuid() or PYTHON is None or shutil.which(AS[place][0]) is None:
        pytest.skip("needs root, a python3 for everybody, and " + AS[place][0])
    if subprocess.run([*AS[place], "true"], capture_output=True).returncode:
        pytest.skip("not allowed here: " + " ".join(AS[place][:2]))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # which the target cannot enter
    code = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)"
    children: list[str] = []
    with subprocess.Popen([*AS[place], PYTHON, "-c", code], stdout=subprocess.PIPE, cwd="/") as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            pid = int(children[0]) if children else process.pid
            before = h.threads(pid)
            attachment = h.visit(pid)
            assert attachment.hello is not None and attachment.hello.pid == (1 if children else pid)
            h.report(attachment)
            h.leave(attachment)
            h.eventually(lambda: h.threads(pid) == before)
            assert process.poll() is None
        finally:
            for number in (*children, process.pid) if process.poll() is None else ():
                os.kill(int(number), 9)  # type: ignore[call-overload]
