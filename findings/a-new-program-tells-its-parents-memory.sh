#!/usr/bin/env bash
# What wait4 and getrusage tell of the memory of a program that was just started is what its parent had.
#
# The guess: ru_maxrss of wait4 is the most memory that the child has had; so a parent that starts `true` reads some 2
#   MB, and a program that asks getrusage(RUSAGE_SELF) about itself reads what it has used since its start.
# What happens: the child begins as a copy of its parent (or with its very memory, after vfork), and the figure outlives
#   `exec`: started by a program that has 300 MB, `true` is told with 300 MB, and an interpreter that has used 10 MB says
#   of itself that it had 300. VmHWM in /proc/self/status belongs to the new program alone.
# Seen on: Linux 6.18 (x86-64), Python 3.11 as parent and child; no root needed.
# What follows: a test or a benchmark that starts what it measures measures itself where it is the larger one. It starts
#   a small launcher in between, which tells what it has waited for; and a program reads its own peak from VmHWM.
set -euo pipefail
[[ $(uname -s) == Linux ]] || { echo "not Linux"; exit 77; }
python=$(command -v python3) || { echo "no python3"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/child.py" <<'PYTHON'
import re, resource
told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
peak = int(re.search(r"VmHWM:\s*(\d+) kB", open("/proc/self/status").read())[1]) >> 10
print(told, peak)
PYTHON

cat > "$folder/parent.py" <<'PYTHON'
import os, subprocess, sys

child, megabytes = sys.argv[1], int(sys.argv[2])
kept = b"\1" * (megabytes << 20)

def waited(*words):
    """Megabytes that wait4 tells of one command, and what it printed."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read()
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_maxrss >> 10, said

by_wait, _ = waited("true")
_, said = waited(sys.executable, child)
told, peak = map(int, said.split())
print(f"the parent has {megabytes} MB: wait4 says {by_wait} MB of `true`; an interpreter says {told} MB of itself by "
      f"getrusage, and {peak} MB by VmHWM", file=sys.stderr)
print(by_wait, told, peak)
PYTHON

echo "Linux $(uname -r), $("$python" --version)"
few=$("$python" "$folder/parent.py" "$folder/child.py" 0)
many=$("$python" "$folder/parent.py" "$folder/child.py" 300)
"$python" - $few $many <<'PYTHON'
import sys
wait_few, told_few, _, wait_many, told_many, peak_many = map(int, sys.argv[1:])
if not (wait_few < 60 and told_few < 60 and wait_many >= 300 and told_many >= 300 and peak_many < 60):
    sys.exit("the behaviour is another one now")
print("ru_maxrss outlives exec, VmHWM does not")
PYTHON
