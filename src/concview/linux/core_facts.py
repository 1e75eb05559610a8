"""A core file's process in the form of /proc/PID: the files that our readers read, with what the core recorded.

Left out is what no core has: names that the kernel gave to threads, descriptors and their other ends, times on a CPU,
children, locks of files. A reader that does not find its file says that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from concview.linux.core_file import CoreFile
from concview.linux.process_facts import ProcessFacts


def lay_out(core: CoreFile, folder: Path, inner: Mapping[int, int]) -> ProcessFacts:
    """Write them below `folder`, which is empty. `inner`: tid -> as the process numbers the thread itself, where that
    is another number; {} where they are the same."""

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")

    write("maps", core.maps())
    (folder / "auxv").write_bytes(core.auxv)
    sysroot = core.here("") or "/"
    (folder / "root").symlink_to(sysroot)
    if core.program:
        (folder / "exe").symlink_to(core.here(core.program))
    write("status", _status(core.pid, inner.get(core.pid, 0), bool(inner)))
    for thread in core.threads:
        task = f"task/{thread.tid}"
        (folder / task).mkdir(parents=True, exist_ok=True)
        if line := core.syscall_line(thread):
            write(f"{task}/syscall", line)
        write(f"{task}/status", _status(thread.tid, inner.get(thread.tid, 0), bool(inner)))
    here = core.here(core.program)
    return ProcessFacts(core.pid, str(folder), False, core.program, here)


def _status(outer: int, inner: int, nested: bool) -> str:
    return f"NSpid:\t{outer}\t{inner}\n" if nested else f"NSpid:\t{outer}\n"
