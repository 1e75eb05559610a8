#!/usr/bin/env bash
# In a core file a thread that waited in epoll_wait has another mark in its registers than one that waited for a lock.
#
# The guess: of a thread that was blocked in a system call, a core file's NT_PRSTATUS has the call's number in orig_rax
# and in rax one of the kernel's four restart codes (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK:
# -512, -513, -514, -516), because stopping the process interrupted a call that will be begun anew.
# What happens: that holds for futex, for a sleep and for a read of a pipe, but epoll_wait has -4 (EINTR): it is never
# begun anew, also after a stop without a handler (signal(7) lists it among the calls that are so). A reader of core files
# that takes only the restart codes for "blocked" calls every thread with an event loop running.
# Seen with gdb 13.1 on Linux 6.18, x86-64.
set -euo pipefail
command -v gcore >/dev/null || { echo "needs gdb (gcore)"; exit 77; }
[[ $(uname -m) == x86_64 ]] || { echo "needs x86-64"; exit 77; }
work=$(mktemp -d)
target=
trap '[[ -z $target ]] || kill -9 "$target" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/target.py" <<'PY'
import os, select, threading, time
threading.stack_size(256 << 10)
lock = threading.Lock(); lock.acquire()
end, _ = os.pipe()
for wait in (lock.acquire, lambda: os.read(end, 1), lambda: select.epoll().poll(1000)):
    threading.Thread(target=wait, daemon=True).start()
time.sleep(1)
print("ready", flush=True)
time.sleep(1000)
PY
cat > "$work/registers.py" <<'PY'
import struct, sys
NAMES = {0: "read", 202: "futex", 230: "clock_nanosleep", 232: "epoll_wait", 281: "epoll_pwait"}
data = open(sys.argv[1], "rb").read()
table, = struct.unpack_from("<Q", data, 32)
size, count = struct.unpack_from("<HH", data, 54)
seen = {}
for i in range(count):
    kind, _, offset, _, _, length, _, _ = struct.unpack_from("<IIQQQQQQ", data, table + i * size)
    at = offset
    while kind == 4 and at + 12 <= offset + length:
        name, desc, what = struct.unpack_from("<III", data, at)
        at += 12 + (name + 3 & ~3)
        if what == 1:
            registers = struct.unpack_from("<27q", data, at + 112)
            seen[NAMES.get(registers[15], registers[15])] = registers[10]
        at += desc + 3 & ~3
print("rax of the thread in each call:", dict(sorted(seen.items(), key=str)))
loop = seen.pop("epoll_wait", seen.pop("epoll_pwait", None))
expected = {"futex": -512, "read": -512, "clock_nanosleep": -514}
good = loop == -4 and set(seen) == set(expected) and all(v in (-512, -513, -514, -516) for v in seen.values())
sys.exit(0 if good else "this has changed")
PY
MALLOC_ARENA_MAX=1 python3 "$work/target.py" > "$work/out" &
target=$!
until grep -q ready "$work/out"; do kill -0 "$target"; sleep 0.1; done
gcore -o "$work/core" "$target" > "$work/log" 2>&1 || true
[[ -s $work/core.$target ]] || { echo "gdb may not attach here: $(tail -1 "$work/log")"; exit 77; }
gdb --version | head -1
python3 "$work/registers.py" "$work/core.$target"
