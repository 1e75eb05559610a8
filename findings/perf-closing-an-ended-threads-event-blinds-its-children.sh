#!/usr/bin/env bash
# Closing the perf event of a thread that has ended stops the records of all threads that inherited it.
#
# The guess: an event with `inherit` is copied to each new thread; once the first thread has ended its descriptor is a
# leftover, and a tool that watches threads come and go closes it, as it closes every file of an ended thread.
# What happens: the copies hang on the first event. Closing it removes them all, without a word: living threads that the
# ended one had started send no record any more. Nor does poll() say which descriptors may be closed: while an inherited
# event lives, the descriptor of the ended thread reports nothing. So such a descriptor stays open until the process
# ends; it costs memory only.
# Seen on Linux 6.18, x86-64, kernel.perf_event_paranoid 2, without privilege.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/perf.py" <<'PY'
import ctypes, mmap, os, platform, select, struct, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
CALL = {"x86_64": 298, "aarch64": 241}[platform.machine()]
SET_OUTPUT = 0x2405


def event(tid, cpu, inherit):
    """Records of context switches (a dummy software event), with thread ids, of user space only."""
    attr = bytearray(136)
    flags = 1 << 26 | 1 << 18 | 1 << 5 | (1 << 1 | 1 << 35 if inherit else 0)
    struct.pack_into("<IIQQQQQ", attr, 0, 1, 136, 9, 1, 0x2, 0, flags)
    fd = libc.syscall(CALL, bytes(attr), tid, cpu, -1, 8)
    if fd < 0:
        print(f"perf_event_open is refused here: {os.strerror(ctypes.get_errno())}")
        sys.exit(77)
    return fd


def switches(ring, tid):
    """Takes what the ring has; the number of switches of `tid` among it."""
    head, tail = struct.unpack_from("<QQ", ring, 1024)
    data = ring[4096:] * 2
    found = 0
    while tail < head:
        at = tail % (len(data) // 2)
        kind, _, size, _, who = struct.unpack_from("<IHHII", data, at)
        found += kind == 14 and who == tid
        tail += size
    struct.pack_into("<Q", ring, 1032, head)
    return found


def child():
    born.append(threading.get_native_id())
    while not stop.is_set():
        time.sleep(0.001)


def parent():
    ready.set()
    go.wait()
    threading.Thread(target=child, daemon=True).start()


born, stop, ready, go = [], threading.Event(), threading.Event(), threading.Event()
thread = threading.Thread(target=parent)
thread.start()
ready.wait()
cpus = sorted(os.sched_getaffinity(0))
bases = [event(os.getpid(), cpu, False) for cpu in cpus]
rings = [mmap.mmap(fd, 65 * 4096) for fd in bases]
watched = [event(thread.native_id, cpu, True) for cpu in cpus]
for fd, base in zip(watched, bases):
    assert libc.ioctl(fd, SET_OUTPUT, base) == 0
go.set()
thread.join()


def in_half_a_second():
    sum(switches(ring, born[0]) for ring in rings)
    time.sleep(0.5)
    return sum(switches(ring, born[0]) for ring in rings)


while not born:
    time.sleep(0.01)
ended = select.poll()
for fd in watched:
    ended.register(fd, 0)
said = ended.poll(200)
before = in_half_a_second()
for fd in watched:
    os.close(fd)
after = in_half_a_second()
stop.set()
print(f"poll on the events of the ended thread: {said or 'nothing'}")
print(f"records of the thread it started, in half a second: {before}; after closing them: {after}")
sys.exit(not (not said and before > 100 and after == 0))
PY
echo "Linux $(uname -r | cut -d. -f1-2), perf_event_paranoid $(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo none)"
python3 "$work/perf.py"
