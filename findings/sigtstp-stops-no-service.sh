#!/usr/bin/env bash
# SIGTSTP, SIGTTIN and SIGTTOU do nothing to a process that runs as services do, unless it handles them.
#
# The guess: `kill -TSTP` stops a process as `kill -STOP` does, only that the process may handle it: what does not handle
# it stops, whoever sends it.
# What happens: the default action of these three is left out for a process whose process group is orphaned: none of its
# members has a parent in another group of the same session. That is every service of an init system, every container's
# first process, whatever was started by setsid, and a job of CI. The signal is taken, and nothing remains of it: the
# process goes on. The same process with a parent in its session stops. SIGSTOP stops both.
# What follows for a tool: a test or a script that stops a process by SIGTSTP works in a terminal and not in CI.
# Seen on Linux 6.18, x86-64; Python 3.12 only makes the calls.
set -euo pipefail
command -v python3 >/dev/null || { echo "python3 is not here"; exit 77; }
python3 - <<'PYTHON'
import os, signal, sys, time

def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(") ")[2][0]

def child(begin):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        begin()
        os.write(write, b"x")
        while True:
            signal.pause()
    os.read(read, 1)
    return pid

def after(pid, number):
    """Its state once the signal is no longer pending, or it has stopped."""
    os.kill(pid, number)
    for _ in range(200):
        time.sleep(0.01)
        with open(f"/proc/{pid}/status") as file:
            pending = [line for line in file if line.startswith(("SigPnd", "ShdPnd")) and int(line.split()[1], 16)]
        if not pending and state(pid) != "R":
            break
    return state(pid)

# This script may be in an orphaned group itself: a session of our own, with a parent and its children.
found = {}
if os.fork() == 0:
    os.setsid()
    ours = child(lambda: os.setpgid(0, 0))      # a group of its own; its parent is of the same session
    service = child(os.setsid)                  # a session of its own, as of a service
    try:
        for name, pid in (("with a parent in its session", ours), ("as a service", service)):
            stopped = after(pid, signal.SIGTSTP)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
            found[name] = stopped, after(pid, signal.SIGSTOP)
    finally:
        for pid in (ours, service):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    release = ".".join(os.uname().release.split(".")[:2])
    for name, (tstp, stop) in found.items():
        print(f"Linux {release}: {name}: state {tstp} after SIGTSTP, {stop} after SIGSTOP")
    sys.stdout.flush()
    os._exit(0 if list(found.values()) == [("T", "T"), ("S", "T")] else 1)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
PYTHON
