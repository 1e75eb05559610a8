#!/usr/bin/env bash
# What /proc says of the threads of a frozen cgroup (docker pause, systemctl freeze).
#
# The guess: a frozen process has a state of its own, like T for one that is stopped; or at least its threads stand in one
# place of the kernel, the freezer.
# What happens: no letter tells it. In version 1 every thread is D, "disk sleep", also one that sleeps in nanosleep or
# waits for a lock, with the wchan and the system call of that wait; one that computed stands in __refrigerator and in no
# system call, as in a page fault. So a paused container looks like one with a broken disk, and load counts its threads
# as waiting for it. In version 2 all are S, in get_signal, the one that computed too: they look idle. Only
# the cgroup itself tells: freezer.state (version 1), `frozen 1` in cgroup.events (version 2).
# Seen on Linux 6.18, x86-64. Needs root and a cgroup that may be made.
set -euo pipefail
[[ $(id -u) == 0 ]] || { echo "needs root"; exit 77; }
work=$(mktemp -d)
groups=()
cleanup() {
  for group in "${groups[@]}"; do
    if [[ -e $group/cgroup.freeze ]]; then echo 0 > "$group/cgroup.freeze"; else echo THAWED > "$group/freezer.state"; fi
  done
  kill "${pid:-}" 2>/dev/null || true
  wait 2>/dev/null || true
  for group in "${groups[@]}"; do rmdir "$group" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

cat > "$work/two.py" <<'PY'
import sys, threading, time
def compute():
    while True: pass
threading.Thread(target=compute, daemon=True).start()
open(sys.argv[1], "w").write("ready\n")
time.sleep(1000)
PY
python3 "$work/two.py" "$work/ready" &
pid=$!
until [[ -s $work/ready ]]; do sleep 0.05; done
sleep 0.3

# state and place of the thread that sleeps and of the one that computes
look() {
  for tid in "$pid" $(ls "/proc/$pid/task" | grep -vx "$pid"); do
    echo "$(sed 's/.*) //' "/proc/$pid/task/$tid/stat" | cut -c1) $(cat "/proc/$pid/task/$tid/wchan")"
  done
}
echo "Linux $(uname -r | cut -d. -f1-2)"
good=1 tried=0
v1=$(awk '$3 == "cgroup" && $4 ~ /(^|,)freezer(,|$)/ { print $2; exit }' /proc/mounts)
v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [[ -n $v1 ]] && mkdir "$v1/finding-$$" 2>/dev/null; then
  groups+=("$v1/finding-$$") tried=1
  echo "$pid" > "${groups[-1]}/cgroup.procs"
  echo FROZEN > "${groups[-1]}/freezer.state"
  until [[ $(cat "${groups[-1]}/freezer.state") == FROZEN ]]; do sleep 0.05; done
  { read -r one; read -r two; } < <(look)
  echo "version 1: the one that sleeps: $one; the one that computes: $two"
  [[ $one == "D "*sleep* && $two == "D __refrigerator" ]] || good=0
  echo THAWED > "${groups[-1]}/freezer.state"
fi
if [[ -n $v2 ]] && mkdir "$v2/finding-$$" 2>/dev/null; then
  groups+=("$v2/finding-$$") tried=1
  echo "$pid" > "${groups[-1]}/cgroup.procs"
  echo 1 > "${groups[-1]}/cgroup.freeze"
  until grep -q 'frozen 1' "${groups[-1]}/cgroup.events"; do sleep 0.05; done
  { read -r one; read -r two; } < <(look)
  echo "version 2: the one that sleeps: $one; the one that computes: $two"
  [[ $one == "S get_signal" && $two == "S get_signal" ]] || good=0
fi
[[ $tried == 1 ]] || { echo "no cgroup can be made here"; exit 77; }
[[ $good == 1 ]]
