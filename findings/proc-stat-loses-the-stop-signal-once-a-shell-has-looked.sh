#!/usr/bin/env bash
# Which signal stopped a process stands in /proc/PID/stat until somebody waits for the stop, and then no more.
#
# The guess: either the kernel tells nobody but the parent, or field 52 (exit_code) keeps the signal for as long as the
# process is stopped.
# What happens: while a process is stopped the field has the signal (19 SIGSTOP, 20 Ctrl-Z, 21 terminal read from the
# background). wait4(2) with WUNTRACED takes it: the field is 0 from then on, although the process is as stopped as
# before. A shell with job control does so at once, so that just for what is stopped by Ctrl-Z or SIGTTIN the file says 0,
# while a service that an operator stopped with `kill -STOP` goes on telling it. WNOWAIT leaves it.
# What follows for a tool: 0 means "not known", never "no signal".
# Seen on Linux 6.18, x86-64; Python 3.12 only makes the calls.
set -euo pipefail
command -v python3 >/dev/null || { echo "python3 is not here"; exit 77; }
python3 - <<'PYTHON'
import os, signal, sys

def told(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return fields[0], int(fields[52 - 3])

release = ".".join(os.uname().release.split(".")[:2])
child = os.fork()
if not child:
    while True:
        signal.pause()
try:
    os.kill(child, signal.SIGTSTP)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOWAIT)
    before = told(child)
    _, status = os.waitpid(child, os.WUNTRACED)
    after = told(child)
finally:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(f"Linux {release}: stopped by {signal.Signals(os.WSTOPSIG(status)).name}; state and field 52 before anybody waited:",
      f"{before[0]} {before[1]}, afterwards: {after[0]} {after[1]}")
sys.exit(0 if before == ("T", signal.SIGTSTP) and after == ("T", 0) else 1)
PYTHON
