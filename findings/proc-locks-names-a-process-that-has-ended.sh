#!/usr/bin/env bash
# /proc/locks names as the holder of an flock a process that no longer exists.
#
# The guess: the fifth column is the process that has the lock; a lock of a process that ended is gone, as the kernel
# closes its files.
# What happens: an flock belongs to the open file, which processes share that inherited the descriptor. The table names
# the one that called flock(2), for as long as anybody has the file open. With the usual `exec 9> file; flock 9` of shell
# scripts that is the command `flock`, which ended at once; with a daemon that forks it is the parent. The process that
# has the lock now stands nowhere in the table. It is found by the line `lock:` in /proc/PID/fdinfo/FD, which its
# descriptor has, with the dead pid in it.
# Seen on Linux 6.18, x86-64, util-linux 2.38.1.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "${shell:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
command -v flock >/dev/null || { echo "flock (util-linux) is not here"; exit 77; }

bash -c 'exec 9> "$1/lock"; flock 9; echo ready > "$1/ready"; read -r -t 60 < <(sleep 60) || true' _ "$work" &
shell=$!
until [[ -s $work/ready ]]; do sleep 0.05; done
inode=$(stat -c %i "$work/lock")

echo "Linux $(uname -r | cut -d. -f1-2), $(flock --version)"
free=free; flock -n "$work/lock" true || free=locked
named=$(awk -v i=":$inode\$" '$2 == "FLOCK" && $6 ~ i { print $5 }' /proc/locks)
alive=ended; [[ -e /proc/$named ]] && alive=alive
line=$(grep -h "^lock:.*:$inode " "/proc/$shell/fdinfo/9" || true)
echo "the file is $free by the shell; the table names a process that has $alive"
echo "the shell's descriptor 9 says: ${line//$named/THAT PROCESS}"
[[ $free == locked && $named != "$shell" && $alive == ended && -n $line ]]
