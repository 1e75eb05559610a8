"""`.AsyncioDebug`: from 3.14 on asyncio's C module says where its lists of tasks are, for debuggers.

Thirteen words in a section of their own, `Py_AsyncioModuleDebugOffsets` of `Modules/_asynciomodule.c`. The section is
in `_asyncio.so`, or in the program itself where the module is built in.
"""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import dataclass

from concview.cpython.memory import BadAddress, Memory, mappings

_SECTION = ".AsyncioDebug"
_WORDS = struct.Struct("<13Q")
#: No offset inside a task, an interpreter or a thread state is larger.
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class DebugOffsets:
    node: int  #: of a task: its link in a list
    interpreter_tasks: int  #: of an interpreter: head of the list of tasks whose thread has ended
    thread_loop: int  #: of a thread state
    thread_task: int
    thread_tasks: int  #: of a thread state: head of its list


def find(memory: Memory) -> DebugOffsets | None:
    """None where no loaded module has the section. Raises TargetGone or NotPermitted."""
    from elftools.common.exceptions import ELFError  # a fifth of what a collector imports, and few need it

    seen: set[str] = set()
    for mapping in mappings(memory.facts):
        base = os.path.basename(mapping.path)  # noqa: PTH119 - the target's path
        if mapping.offset or not mapping.path.startswith("/") or mapping.path in seen:
            continue
        seen.add(mapping.path)
        if "_asyncio" in base or "python" in base:
            with contextlib.suppress(OSError, ELFError, BadAddress, struct.error, ValueError, KeyError):
                found = _read(memory, mapping.path, mapping.start)
                if found is not None:
                    return found
    return None


def _read(memory: Memory, path: str, start: int) -> DebugOffsets | None:
    from elftools.elf.elffile import ELFFile

    with open(memory.facts.file(path), "rb") as file:
        if file.read(4) != b"\x7fELF":
            return None
        file.seek(0)
        elf = ELFFile(file)
        section = elf.get_section_by_name(_SECTION)
        if section is None or section["sh_size"] < _WORDS.size:
            return None
        lowest = min(s["p_vaddr"] for s in elf.iter_segments() if s["p_type"] == "PT_LOAD") & ~0xFFF
        at = section["sh_addr"] + (start - lowest if elf["e_type"] == "ET_DYN" else 0)
    words = _WORDS.unpack(memory.read(at, _WORDS.size))
    if not all(word < _MOST for word in words):
        return None
    return DebugOffsets(
        node=words[6], interpreter_tasks=words[8], thread_loop=words[10], thread_task=words[11], thread_tasks=words[12]
    )
