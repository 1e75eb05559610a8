#!/usr/bin/env bash
# /proc/PID/schedstat and the context switches in /proc/PID/status tell of the first thread only.
#
# The guess: they stand beside /proc/PID/stat, whose utime and stime are sums over all threads (those that ended
# included), so they are sums, too.
# What happens: /proc/PID/schedstat (time on a CPU, time waiting for one, number of turns) and voluntary_ctxt_switches /
# nonvoluntary_ctxt_switches of /proc/PID/status are those of the thread whose id is PID. A service that works in a pool
# of threads looks idle there. A tool must add up /proc/PID/task/*, and keep what threads had when it saw them last,
# because these two files never get it back: the sum of a process cannot be read after a thread has ended.
# Seen on Linux 6.18, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[[ -r /proc/self/schedstat ]] || { echo "this kernel keeps no schedstat"; exit 77; }

cat > "$work/threads.py" <<'PY'
import os, sys, threading, time


def compute_and_wait():
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    for _ in range(300):
        time.sleep(0.001)


workers = [threading.Thread(target=compute_and_wait) for _ in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()

ticks = os.sysconf("SC_CLK_TCK")
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
whole = (int(stat[11]) + int(stat[12])) / ticks
first = int(open("/proc/self/schedstat").read().split()[0]) / 1e9
switches = sum(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(("voluntary", "nonvoluntary")))
print(f"two threads computed 0.5 s each and slept 300 times each, and ended")
print(f"/proc/PID/stat:      {whole:.2f} s of CPU")
print(f"/proc/PID/schedstat: {first:.2f} s of CPU")
print(f"/proc/PID/status:    {switches} context switches of at least 600")
sys.exit(not (whole >= 0.9 and first < 0.5 and switches < 600))
PY
echo "Linux $(uname -r | cut -d. -f1-2)"
python3 "$work/threads.py"
