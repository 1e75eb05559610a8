#!/usr/bin/env bash
# What setproctitle leaves of /proc/PID/cmdline and /proc/PID/environ.
#
# The guess: after setproctitle("web: master") the command line of the process, in /proc and so in every tool, is that
# one string; the environment with which it was started stays to be read in /proc/PID/environ.
# What happens: the title is written over the old arguments, and the rest of their room is filled with NUL bytes.
# Splitting at NULs, as everybody does, gives the title and then one empty argument for every byte that is left: dozens.
# The room counts the environment, which lies behind the arguments: however short the title is, not one variable is left
# in /proc/PID/environ, though the process itself still has all of them. (SPT_NOENV=1 keeps the package away from it.) So
# who tells workers apart by arguments strips NULs at the end before splitting, and who takes a service's name or a path
# from /proc/PID/environ finds nothing in just the servers that set titles.
# Seen with setproctitle 1.3.8, CPython 3.11, Linux 6.18.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check setproctitle==1.3.8 2> /dev/null || { echo "needs the package index"; exit 77; }

cat > "$work/title.py" <<'PY'
import os, sys
import setproctitle


def arguments():
    return open("/proc/self/cmdline", "rb").read().split(b"\0")


def variables():
    return sum(entry.startswith(b"MARK_") for entry in open("/proc/self/environ", "rb").read().split(b"\0"))


before = variables()
setproctitle.setproctitle("web: master")
seen, kept = arguments(), variables()
own = sum(name.startswith("MARK_") for name in os.environ)
print(f"title: {seen[0].decode()!r}, then {len(seen) - 1} empty arguments")
print(f"variables in /proc/PID/environ: {before}, with the title {kept}; os.environ: {own}")
sys.exit(not (len(seen) > 20 and not any(seen[1:]) and before == own == 20 and kept == 0))
PY
marks=()
for n in {10..29}; do marks+=("MARK_$n=$(printf 'v%.0s' {1..40})"); done
echo "setproctitle 1.3.8, $("$work/venv/bin/python" -VV | cut -d'(' -f1)"
env -i "${marks[@]}" "$work/venv/bin/python" "$work/title.py" with some arguments of which each one takes room
