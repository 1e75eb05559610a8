#!/usr/bin/env bash
# A core file that gcore wrote names the program, and none of its arguments.
#
# The guess: NT_PRPSINFO of a core file has the command line, cut at 80 bytes, as the kernel writes it ("python3 app.py
# --port 80"); gcore, which can read /proc/PID/cmdline of the process that it is attached to, writes the same.
# What happens: gdb writes the path of the program and the arguments with which *gdb* would start it; of a process that it
# attached to it knows none, so that pr_psargs is the path alone. "file CORE" and readers of that note tell which Python it
# was, and not which of twenty Python services. The arguments are in the file all the same: on the main stack, in front of
# the auxiliary vector.
# Seen with gdb 13.1 on Linux 6.18, x86-64.
set -euo pipefail
command -v gcore >/dev/null || { echo "needs gdb (gcore)"; exit 77; }
[[ $(uname -m) == x86_64 ]] || { echo "needs x86-64"; exit 77; }
work=$(mktemp -d)
target=
trap '[[ -z $target ]] || kill -9 "$target" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/note.py" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
table, = struct.unpack_from("<Q", data, 32)
size, count = struct.unpack_from("<HH", data, 54)
arguments = None
for i in range(count):
    kind, _, offset, _, _, length, _, _ = struct.unpack_from("<IIQQQQQQ", data, table + i * size)
    at = offset
    while kind == 4 and at + 12 <= offset + length:
        name, desc, what = struct.unpack_from("<III", data, at)
        at += 12 + (name + 3 & ~3)
        if what == 3:
            arguments = data[at + 56 : at + 136].split(b"\0")[0].decode()
        at += desc + 3 & ~3
print("pr_psargs:", repr(arguments))
print("in the file all the same:", b"\0--a-mark-of-ours\0" in data)
sys.exit(0 if arguments and "mark" not in arguments and b"\0--a-mark-of-ours\0" in data else "this has changed")
PY
MALLOC_ARENA_MAX=1 python3 -c 'import time; time.sleep(1000)' --a-mark-of-ours &
target=$!
sleep 1
gcore -o "$work/core" "$target" > "$work/log" 2>&1 || true
[[ -s $work/core.$target ]] || { echo "gdb may not attach here: $(tail -1 "$work/log")"; exit 77; }
gdb --version | head -1
echo "command line: $(tr '\0' ' ' < "/proc/$target/cmdline")"
python3 "$work/note.py" "$work/core.$target"
