#!/usr/bin/env bash
# process_vm_readv gives back part of one iovec element.
#
# The guess, and what process_vm_readv(2) says ("partial transfers apply at the granularity of iovec elements. These
# system calls won't perform a partial transfer that splits a single iovec element"): a read of two pages as one element,
# of which the second cannot be read, gives nothing of that element.
# What happens: the kernel copies page by page and returns what it has copied up to the page that failed, in the middle
# of an element. A reader that takes "fewer bytes than asked" for "the last element is missing, all before it are whole"
# is right; one that divides the number of bytes by the length of an element, or drops the element that was cut, is not:
# the bytes up to the end of the page are there and good. What comes after the failed page is never tried, though it may
# be readable.
# Seen on Linux 6.18, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/read.py" <<'PY'
import ctypes, mmap, os, sys

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


area = mmap.mmap(-1, 3 * PAGE)
area[:] = b"x" * (3 * PAGE)
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
assert libc.mprotect(ctypes.c_void_p(start + PAGE), PAGE, 0) == 0  # the middle page cannot be read


def read(*elements):
    """Bytes that one call gives for these (offset, length); the process reads itself, which needs no privilege."""
    out = ctypes.create_string_buffer(4 * PAGE)
    local = Iovec(ctypes.addressof(out), 4 * PAGE)
    remote = (Iovec * len(elements))(*(Iovec(start + offset, length) for offset, length in elements))
    got = libc.process_vm_readv(os.getpid(), ctypes.byref(local), 1, remote, len(elements), 0)
    assert got < 0 or out.raw[:got] == b"x" * got
    return got if got >= 0 else os.strerror(ctypes.get_errno())


seen = [
    ("one element over a good and a bad page", read((0, 2 * PAGE)), PAGE),
    ("an element that begins 10 bytes before the bad page, after a whole one", read((0, 50), (PAGE - 10, 50)), 60),
    ("good, bad, good: what follows is not tried", read((0, 50), (PAGE, 50), (2 * PAGE, 50)), 50),
    ("bad first", read((PAGE, 50), (0, 50)), "Bad address"),
]
for what, got, expected in seen:
    print(f"{what}: {got}" + ("" if got == expected else f" (was {expected})"))
sys.exit(any(got != expected for _, got, expected in seen))
PY
echo "Linux $(uname -r | cut -d. -f1-2)"
python3 "$work/read.py"
