"""The command line of a core file's process.

The core's own note has 80 bytes of it, gdb's only the program's path. All of it still lies where the kernel put it when
the program began: at the top of the main stack stand the number of arguments, their addresses, 0, those of the
environment, 0, and the auxiliary vector, which a note repeats byte by byte.
"""

from __future__ import annotations

import struct

from concview.linux.core_file import CoreFile
from concview.text import clean

_AT_EXECFN = 31
#: Below the program's name lie the strings of arguments and environment, and below these what is looked for.
_SEARCHED = 1 << 20
#: Words kept, and bytes of each.
_MOST_WORDS, _LONGEST = 64, 4096
_MOST_VARIABLES = 1 << 16
_WORD = struct.Struct("<Q").unpack_from


def command_of(core: CoreFile) -> tuple[str, ...]:
    """Clean words; of the note, where the stack was not written."""
    return _from_stack(core) or tuple(core.command.split()) or (core.name,)


def _from_stack(core: CoreFile) -> tuple[str, ...]:
    vector = dict(struct.iter_unpack("<QQ", core.auxv[: len(core.auxv) & ~15]))
    name = vector.get(_AT_EXECFN, 0)
    if not name:
        return ()
    start = max(core.start_of(name), name - _SEARCHED) & ~7
    data = core.read(start, name - start)
    at = data.rfind(core.auxv[:64]) if core.auxv[:64] else -1
    if at < 0 or at % 8:
        return ()
    at = _array(data, at - 8, _MOST_VARIABLES)[0]  # the environment
    first, words = _array(data, at - 8, 1 << 20)
    if first < 8 or _WORD(data, first - 8)[0] != len(words):
        return ()
    found = [core.read(word, _LONGEST).partition(b"\0")[0] for word in words[:_MOST_WORDS]]
    return tuple(clean(word.decode("utf-8", "replace"), 200) for word in found)


def _array(data: bytes, end: int, most: int) -> tuple[int, list[int]]:
    """(where it begins, its words) of an array that the 0 at `end` closes; in front of it stands a small number."""
    at = end
    words: list[int] = []
    while at >= 8 and len(words) <= most:
        word = _WORD(data, at - 8)[0]
        if word < 1 << 20:
            break
        words.append(word)
        at -= 8
    return at, words[::-1]
