"""Whether the cgroup of a process is frozen: `docker pause`, `systemctl freeze`, a checkpoint. Nothing in it runs then,
though the kernel goes on telling that its threads sleep, or wait for a disk."""

from __future__ import annotations

from pathlib import Path

from concview.linux.limits import cgroup_folders


class Freezer:
    """Looks at two small files at most; a process that changes its cgroup later is not followed."""

    def __init__(self, pid: int) -> None:
        #: Both tell of the groups above, too: what is frozen there, is frozen here.
        self._files: list[tuple[Path, str]] = []
        for controller, name, word in (("freezer", "freezer.state", "FROZEN"), ("", "cgroup.events", "frozen 1")):
            folders = cgroup_folders(pid, controller)
            if folders and (file := folders[0] / name).exists():
                self._files.append((file, word))

    def frozen(self) -> bool:
        """About 10 µs; False where it is not told."""
        for file, word in self._files:
            try:
                if word in file.read_text("ascii", "replace").splitlines():
                    return True
            except OSError:
                continue
        return False
