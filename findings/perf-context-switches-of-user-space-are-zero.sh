#!/usr/bin/env bash
# The perf counter of context switches, opened as one may without privilege, counts nothing and says nothing.
#
# The guess: with perf_event_paranoid 2 a process may watch itself if it leaves the kernel out (`exclude_kernel`). For
# hardware counters that means "user space's share". So PERF_COUNT_SW_CONTEXT_SWITCHES opened so gives the switches, or
# is refused.
# What happens: it opens, and stays 0 for ever, because a switch happens inside the kernel; no error, no flag. The
# records of switches (`context_switch` on a dummy event) are not thinned by `exclude_kernel`: the same thread, the same
# privilege, every switch. A tool that tries the counter first and falls back on an error shows "0 switches".
# Seen on Linux 6.18, x86-64, kernel.perf_event_paranoid 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/count.py" <<'PY'
import ctypes, mmap, os, platform, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
CALL = {"x86_64": 298, "aarch64": 241}[platform.machine()]


def event(config, flags):
    attr = bytearray(136)
    struct.pack_into("<IIQQQQQ", attr, 0, 1, 136, config, 1, 0x2, 0, flags | 1 << 5)  # bit 5: exclude_kernel
    fd = libc.syscall(CALL, bytes(attr), 0, -1, -1, 8)
    if fd < 0:
        print(f"perf_event_open is refused here: {os.strerror(ctypes.get_errno())}")
        sys.exit(77)
    return fd


counter = event(3, 0)  # PERF_COUNT_SW_CONTEXT_SWITCHES
records = event(9, 1 << 26)  # PERF_COUNT_SW_DUMMY with context_switch
ring = mmap.mmap(records, 9 * 4096)
before = sum(int(l.split()[1]) for l in open("/proc/self/status") if "ctxt_switches" in l)
for _ in range(100):
    time.sleep(0.001)
after = sum(int(l.split()[1]) for l in open("/proc/self/status") if "ctxt_switches" in l)
counted = struct.unpack("<Q", os.read(counter, 8))[0]
head = struct.unpack_from("<Q", ring, 1024)[0]
outs, at = 0, 0
while at < head:
    kind, misc, size = struct.unpack_from("<IHH", ring, 4096 + at)
    outs += kind == 14 and bool(misc & 0x2000)
    at += size
print(f"the kernel's own figure: {after - before}; counter: {counted}; records: {outs}")
sys.exit(not (counted == 0 and outs >= after - before >= 100))
PY
echo "Linux $(uname -r | cut -d. -f1-2), perf_event_paranoid $(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo none)"
python3 "$work/count.py"
