"""Where the facts about one process are read: in the files that the kernel shows in /proc/PID, or in the same files as
a core file's are laid out (`core_facts`).

Readers open files below `folder` and keep their descriptors as they like; a file that is not there means that this is
not known of the process. So nobody asks whether it lives, and reading one that does costs what it did.
"""

from __future__ import annotations

from typing import NamedTuple


class ProcessFacts(NamedTuple):
    pid: int
    folder: str  #: '/proc/PID', or a folder with files of the same names and forms
    live: bool = True  #: the rest of /proc tells about it, too: its children, who else has its pipes
    program: str = ""  #: its program, as the process names it, where that file is not where it says
    program_here: str = ""  #: where it is for us then

    def file(self, path: str) -> str:
        """Where a file that the process names is for us."""
        return self.program_here if self.program and path == self.program else f"{self.folder}/root{path}"


def facts_of(process: int | ProcessFacts) -> ProcessFacts:
    """Of a running process, by its number."""
    return process if isinstance(process, ProcessFacts) else ProcessFacts(process, f"/proc/{process}")
