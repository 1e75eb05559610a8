"""Where the fields of 3.8 to 3.10 lie, beside what `offsets` says of all versions.

Printed by a C program compiled against the internal headers of 3.8.18, 3.9.18 and 3.10.13. Names as in `offsets`; of
frames (f) `executable` is f_code, `previous` f_back.
"""

from __future__ import annotations

_COMMON = {
    "rt.interpreters_head": 32,
    "rt.gil": 352,
    "is.next": 0,
    "is.threads_head": 8,
    "is.id": 24,
    "is.imports_modules": 856,
    "is.gc": 616,
    "gc.collecting": 200,
    "ts.next": 8,
    "ts.interp": 16,
    "ts.current_frame": 24,
    "ts.tracing": 44,
    "ts.thread_id": 176,
    "ts.id": 256,
    "f.previous": 24,
    "f.executable": 32,
    "f.globals": 48,
    "f.lasti": 104,
    "f.iblock": 112,
    "f.state": 116,
    "f.blockstack": 120,
    "f.localsplus": 360,
    "co.nlocals": 28,
    "co.stacksize": 32,
    "co.firstlineno": 40,
    "co.code": 48,
    "co.names": 64,
    "co.varnames": 72,
    "co.freevars": 80,
    "co.cellvars": 88,
    "co.filename": 104,
    "co.name": 112,
    "co.linetable": 120,
    "gen.gi_frame": 16,
    "function.func_code": 16,
    "str.asciisize": 48,
    "str.compactsize": 72,
    "tuple.ob_item": 24,
    "long.lv_tag": 16,
    "long.ob_digit": 24,
    "ht.ht_cached_keys": 864,
    "keys.dk_size": 8,
    "keys.dk_nentries": 32,
    "keys.dk_indices": 40,
}

FIXED: dict[tuple[int, int], dict[str, int]] = {
    (3, 8): {
        **_COMMON,
        "rt.gil": 1152,
        "rt.collecting": 544,
        "is.id": 16,
        "is.imports_modules": 56,
        "ht.ht_cached_keys": 872,
    },
    (3, 9): _COMMON,
    (3, 10): {
        **_COMMON,
        "f.lasti": 96,
        "f.iblock": 104,
        "f.state": 108,
        "f.blockstack": 112,
        "f.localsplus": 352,
        "function.func_code": 48,
        "ht.ht_cached_keys": 872,
    },
}

#: `PyTryBlock`: type, handler, level of the stack below which it unwinds; three ints, 20 of them in a frame.
BLOCK, MAX_BLOCKS = 12, 20

#: Where `struct pthread` of a C library most likely has the kernel's thread id: glibc on x86-64 and aarch64, musl.
PTHREAD_TID = (720, 208, 48, 56)
