"""Where the fields of CPython's structs lie, per version. All offsets in bytes, all layouts 64-bit little-endian.

Sources. 3.13 and newer describe themselves: `_PyRuntime` starts with `_Py_DebugOffsets`, words whose order is fixed
inside a minor version and listed here from its `Include/internal/pycore_debug_offsets.h` (3.13: `pycore_runtime.h`).
What these leave out, and everything of 3.11 and 3.12, was printed by a C program compiled against each version's
internal headers (3.11.0rc1, 3.11.2, 3.11.7, 3.12.1, 3.12.3, 3.13.0 .. 3.13.18, 3.14.0 .. 3.14.10, 3.15.2: no field used
here moved inside a minor version). 3.8 to 3.10: `heap.layout`.

Prefixes: rt `_PyRuntimeState`, is `PyInterpreterState`, ts `PyThreadState`, f `_PyInterpreterFrame`, co `PyCodeObject`,
gil `_gil_runtime_state`, ht `PyHeapTypeObject`, ob `PyObject`, and object structs by the name of their type.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from concview.cpython.features import Features
from concview.cpython.heap import layout as heap
from concview.cpython.versions import DIRECT
from concview.errors import Unsupported

#: First eight bytes of `_Py_DebugOffsets`.
COOKIE = b"xdebugpy"
OLDEST, NEWEST = DIRECT
_KNOWN = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


def _names(text: str) -> tuple[str, ...]:
    """'ts: a b' -> 'ts.a', 'ts.b'."""
    names: list[str] = []
    prefix = ""
    for word in text.split():
        if word.endswith(":"):
            prefix = word[:-1] + "."
        else:
            names.append(prefix + word)
    return tuple(names)


_HEAD = "cookie version free_threaded rt: size finalizing interpreters_head "
_GIL = "ceval_gil gil gil_enabled gil_locked gil_holder "
_CODE = "co: size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds code_adaptive "
_SMALL = "float: size ob_fval long: size lv_tag ob_digit bytes: size ob_size ob_sval "

#: The order of the words of `_Py_DebugOffsets`, as far as they are used; later words are not read.
DEBUG_OFFSETS: dict[tuple[int, int], tuple[str, ...]] = {
    (3, 13): _names(
        _HEAD
        + "is: size id next threads_head gc imports_modules sysdict builtins "
        + _GIL
        + "ts: size prev next interp current_frame thread_id native_thread_id datastack_chunk status "
        "f: size previous executable instr_ptr localsplus owner "
        + _CODE
        + "ob: size type type: size tp_name tp_repr tp_flags tuple: size ob_item ob_size list: size ob_item ob_size "
        "dict: size ma_keys ma_values " + _SMALL + "str: size state length asciisize gc: size collecting"
    ),
    (3, 14): _names(
        _HEAD
        + "is: size id next threads_head threads_main gc imports_modules sysdict builtins "
        + _GIL
        + "code_object_generation tlbc_generation "
        "ts: size prev next interp current_frame thread_id native_thread_id datastack_chunk status "
        "f: size previous executable instr_ptr localsplus owner stackpointer tlbc_index "
        + _CODE
        + "tlbc ob: size type type: size tp_name tp_repr tp_flags tuple: size ob_item ob_size "
        "list: size ob_item ob_size set: size used table mask dict: size ma_keys ma_values "
        + _SMALL
        + "str: size state length asciisize gc: size collecting gen: size gi_name gi_iframe gi_frame_state"
    ),
    (3, 15): _names(
        _HEAD
        + "is: size id next threads_head threads_main gc imports_modules sysdict builtins "
        + _GIL
        + "code_object_generation tlbc_generation "
        "ts: size prev next interp current_frame base_frame last_profiled_frame last_profiled_frame_seq thread_id "
        "native_thread_id datastack_chunk status holds_gil gil_requested current_exception exc_state "
        "errstackitem: exc_value f: size previous executable instr_ptr localsplus owner stackpointer tlbc_index "
        + _CODE
        + "tlbc ob: size type type: size tp_name tp_repr tp_flags tp_basicsize tp_dictoffset ht: size ht_cached_keys "
        "tuple: size ob_item ob_size list: size ob_item ob_size set: size used table mask "
        "dict: size ma_keys ma_values "
        + _SMALL
        + "str: size state length asciisize compactsize gc: size collecting frame generation_stats_size "
        "generation_stats gen: size gi_name gi_iframe gi_frame_state"
    ),
}

#: Same in every version, unless `heap.layout` says otherwise of 3.8 to 3.10. Object fields: builds with a GIL, see
#: `_HEADER_GROWTH`.
_COMMON = {
    "ob.type": 8,
    "type.tp_name": 24,
    "type.tp_basicsize": 32,
    "type.tp_flags": 168,
    "type.tp_dictoffset": 288,
    "type.tp_base": 256,
    "dict.ma_keys": 32,
    "dict.ma_values": 40,
    "tuple.ob_size": 16,
    "bytes.ob_size": 16,
    "bytes.ob_sval": 32,
    "str.length": 16,
    "str.state": 32,
    "method.im_func": 16,
    "method.im_self": 24,
    "cfunction.m_ml": 16,
    "cfunction.m_self": 24,
    "descr.d_name": 24,
    "function.func_code": 48,
    "cell.ob_ref": 16,
    "module.md_dict": 16,
    "co.exceptiontable": 40,
    "lock.body": 16,
    "deque.ob_size": 16,
    "deque.leftblock": 24,
    "deque.state": 56,
    "list.ob_size": 16,
    "set.used": 24,
    "weakref.wr_object": 16,
    "co.names": 32,
    "gil.last_holder": 8,
    "gil.locked": 16,
    "gil.size": 208,
}

_FRAME_312 = {
    "f.executable": 0,
    "f.previous": 8,
    "f.instr_ptr": 56,
    "f.stacktop": 64,
    "f.owner": 70,
    "f.localsplus": 72,
    "f.globals": 24,
}
_CODE_312 = {"co.firstlineno": 68, "co.stacksize": 64, "co.nlocalsplus": 72}

_FIXED: dict[tuple[int, int], dict[str, int]] = {
    **heap.FIXED,
    (3, 11): {
        "rt.interpreters_head": 40,
        "rt.finalizing": 24,
        "rt.gil": 360,
        "is.next": 0,
        "is.id": 48,
        "is.threads_head": 16,
        "is.imports_modules": 888,
        "is.gc": 648,
        "gc.collecting": 200,
        "ts.next": 8,
        "ts.interp": 16,
        "ts.cframe": 56,
        "cframe.current_frame": 8,
        "ts.thread_id": 152,
        "ts.native_thread_id": 160,
        "ts.datastack_chunk": 296,
        "f.executable": 32,
        "f.previous": 48,
        "f.instr_ptr": 56,
        "f.stacktop": 64,
        "f.is_entry": 68,
        "f.owner": 69,
        "f.localsplus": 72,
        "f.globals": 8,
        "co.filename": 112,
        "co.name": 120,
        "co.qualname": 128,
        "co.linetable": 136,
        "co.localsplusnames": 96,
        "co.code_adaptive": 184,
        "co.firstlineno": 72,
        "co.stacksize": 68,
        "co.nlocalsplus": 76,
        "str.asciisize": 48,
        "str.compactsize": 72,
        "gen.gi_iframe": 80,
        "gen.gi_frame_state": 75,
        "tuple.ob_item": 24,
        "long.lv_tag": 16,
        "long.ob_digit": 24,
        "ht.ht_cached_keys": 872,
    },
    (3, 12): {
        **_FRAME_312,
        **_CODE_312,
        "rt.interpreters_head": 40,
        "rt.finalizing": 24,
        "is.ceval_gil": 384,
        "is.next": 0,
        "is.id": 8,
        "is.threads_head": 72,
        "is.imports_modules": 944,
        "is.gc": 112,
        "gc.collecting": 200,
        "ts.next": 8,
        "ts.interp": 16,
        "ts.cframe": 56,
        "cframe.current_frame": 0,
        "ts.thread_id": 136,
        "ts.native_thread_id": 144,
        "ts.datastack_chunk": 232,
        "co.filename": 112,
        "co.name": 120,
        "co.qualname": 128,
        "co.linetable": 136,
        "co.localsplusnames": 96,
        "co.code_adaptive": 192,
        "str.asciisize": 40,
        "str.compactsize": 56,
        "gen.gi_iframe": 72,
        "gen.gi_frame_state": 67,
        "tuple.ob_item": 24,
        "long.lv_tag": 16,
        "long.ob_digit": 24,
        "ht.ht_cached_keys": 880,
    },
    (3, 13): {
        **_CODE_312,
        "f.stacktop": 64,
        "f.globals": 24,
        "str.compactsize": 56,
        "gen.gi_iframe": 72,
        "gen.gi_frame_state": 67,
        "ht.ht_cached_keys": 880,
    },
    (3, 14): {**_CODE_312, "f.globals": 24, "str.compactsize": 56, "ht.ht_cached_keys": 880},
    (3, 15): {**_CODE_312, "f.globals": 24},
}

#: Of builds without a GIL alone (3.13.15, 3.14.7). Whoever follows these checks what it finds: the configuration lies
#: between them and the fields that the debug offsets tell.
_WITHOUT_GIL: dict[tuple[int, int], dict[str, int]] = {
    (3, 13): {"is.stoptheworld": 10744, "rt.stoptheworld": 10360, "ts.critical_section": 176},
    (3, 14): {"is.stoptheworld": 10848, "rt.stoptheworld": 10552, "ts.critical_section": 176},
}

#: `PyObject` is 32 bytes in free-threaded builds (ob_tid, ob_mutex, ..., ob_type at 24) instead of 16.
_HEADER_GROWTH = 16
#: Fields of objects that the debug offsets of a version may leave out and that `_HEADER_GROWTH` therefore moves.
_OBJECT_PREFIXES = (
    "type.", "dict.", "tuple.", "bytes.", "str.", "method.", "cfunction.", "descr.", "function.", "cell.", "module.",
    "co.", "lock.", "deque.", "gen.", "ht.", "long.", "list.", "set.", "weakref.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offsets:
    """The layout of one running interpreter."""

    version: tuple[int, int]
    micro: int
    free_threaded: bool
    values: dict[str, int] = field(repr=False)
    header: int = field(init=False)  #: sizeof(PyObject)
    #: What to keep of a reference on a frame: 3.14 tags two bits of it, 3.13 without a GIL one.
    tag_mask: int = field(init=False)
    features: Features = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", Features(self.version))
        bits = 3 if self.features.tagged_references else 1 if self.free_threaded else 0
        object.__setattr__(self, "header", 32 if self.free_threaded else 16)
        object.__setattr__(self, "tag_mask", (1 << 64) - 1 & ~bits)

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    def get(self, name: str, default: int = -1) -> int:
        return self.values.get(name, default)

    @property
    def tuple_items(self) -> int:
        return self.values["tuple.ob_item"]


def check_version(version: tuple[int, int]) -> None:
    """Raises Unsupported with a sentence that says what to do."""
    name = f"{version[0]}.{version[1]}"
    if version < OLDEST:
        raise Unsupported(f"the direct engine reads Python {_KNOWN}, this is {name}")
    if version > NEWEST:
        raise Unsupported(f"Python {name} is newer than this version of concview knows ({_KNOWN})")


def describe(hexversion: int, head: bytes) -> Offsets:
    """The layout for PY_VERSION_HEX `hexversion`; `head` is the start of `_PyRuntime` (2 KiB; unused before 3.13)."""
    version = (hexversion >> 24 & 0xFF, hexversion >> 16 & 0xFF)
    check_version(version)
    values = dict(_COMMON)
    values.update(_FIXED[version])
    free_threaded = False
    names = DEBUG_OFFSETS.get(version)
    if names is not None:
        if head[:8] != COOKIE or len(head) < 8 * len(names):
            raise Unsupported("the runtime has no debug offsets where Python 3.13 and newer have them")
        told = dict(zip(names, struct.unpack_from(f"<{len(names)}Q", head), strict=True))
        free_threaded = bool(told["free_threaded"])
        if free_threaded:
            values.update(_WITHOUT_GIL.get(version, {}))
            for name in values:
                if name.startswith(_OBJECT_PREFIXES):
                    values[name] += _HEADER_GROWTH
        values.update(told)
        # The offsets of the GIL's fields are given from the interpreter; the GIL may be another interpreter's.
        values["gil.locked"] = told["is.gil_locked"] - told["is.gil"]
        values["gil.last_holder"] = told["is.gil_holder"] - told["is.gil"]
    values["gil.switch_number"] = values["gil.locked"] + 8
    values["gil.cond"] = values["gil.locked"] + 16
    #: cond 48, mutex 40, switch_cond 48, switch_mutex 40 bytes (glibc, 64 bit)
    values["gil.size"] = values["gil.cond"] + 48 + 40 + 48 + 40
    if max(v for k, v in values.items() if k not in ("cookie", "version")) > 1 << 24 or min(values.values()) < 0:
        raise Unsupported("the runtime's debug offsets are not plausible: this may not be CPython")
    return Offsets(version, hexversion >> 8 & 0xFF, free_threaded, values)


@dataclass(frozen=True, slots=True)
class Opcodes:
    """The few opcodes whose meaning matters here (`Lib/opcode.py` of each version; specialised forms included)."""

    push_exc_info: int
    with_except_start: int
    #: RETURN_*, YIELD_VALUE and their instrumented forms: the frame is about to leave the stack
    leaving: frozenset[int]
    #: first instrumented opcode; from here on (executors included) the original opcode is not visible
    instrumented: int


OPCODES: dict[tuple[int, int], Opcodes] = {
    (3, 11): Opcodes(35, 49, frozenset({75, 83, 86}), 256),
    (3, 12): Opcodes(35, 49, frozenset({75, 83, 121, 150, 242, 243, 247}), 237),
    (3, 13): Opcodes(33, 44, frozenset({35, 36, 103, 118, 239, 240, 241}), 236),
    (3, 14): Opcodes(32, 43, frozenset({34, 35, 120, 246, 247}), 234),
    (3, 15): Opcodes(30, 41, frozenset({32, 33, 119, 245, 246}), 233),
}

#: Where the fields of asyncio's C objects lie (`Modules/_asynciomodule.c`), builds with a GIL: (state, sizeof Future,
#: fut_waiter of a Task, when of a TimerHandle, exception, how often a Task was cancelled or 0); coro and name lie
#: behind fut_waiter. A Handle's `_args` comes right behind its header. Found by value in each interpreter's own process
#: (3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0, 3.14.10, 3.15.2).
ASYNCIO: dict[tuple[int, int], tuple[int, int, int, int, int, int]] = {
    (3, 8): (72, 104, 104, 88, 48, 0),
    (3, 9): (80, 144, 144, 88, 48, 0),
    (3, 10): (88, 152, 152, 88, 48, 0),
    (3, 11): (88, 128, 128, 88, 48, 168),
    (3, 12): (88, 128, 128, 80, 48, 168),
    (3, 13): (96, 104, 112, 80, 48, 104),
    (3, 14): (104, 112, 120, 80, 48, 112),
    (3, 15): (104, 112, 120, 80, 48, 112),
}

#: tstate->context, builds with a GIL; found by value in each interpreter's own process.
CONTEXT = {
    (3, 8): 240, (3, 9): 240, (3, 10): 240, (3, 11): 224, (3, 12): 208, (3, 13): 208, (3, 14): 208, (3, 15): 232,
}  # fmt: skip
