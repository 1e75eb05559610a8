"""`--core FILE`: what a process was doing when its core file was written."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from concview.commands.base import CommandError, Exit


def add(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a core file instead of a process")
    group.add_argument("--core", metavar="FILE", help="what the process did when this was written (gcore, the kernel)")
    group.add_argument("--exe", metavar="PYTHON", help="its program, where that is not where it was")
    group.add_argument("--sysroot", metavar="DIR", help="where its file system is seen: a container's, unpacked")
    group.add_argument("--source", metavar="DIR", help="where its relative paths of source files begin")


def check(options: argparse.Namespace, *others: str) -> bool:
    """Whether a core file is to be read. `others`: options that mean a running process and that were given. Raises
    CommandError."""
    if options.core is None:
        for option in ("exe", "sysroot", "source"):
            if getattr(options, option) is not None:
                raise CommandError(f"--{option}: only with --core", Exit.USAGE)
        return False
    if others:
        raise CommandError(
            f"--core: it is one moment of a process that is gone; {others[0]} needs one that runs", Exit.USAGE
        )
    for option in ("sysroot", "source"):
        folder = getattr(options, option)
        if folder is not None and not Path(folder).is_dir():
            raise CommandError(f"--{option} {folder}: no such folder", Exit.USAGE)
    return True


def _absolute(path: str | None) -> str:
    return str(Path(path).absolute()) if path else ""


@contextmanager
def recorded(options: argparse.Namespace) -> Iterator[Path]:
    """The core file's moment as a recording, which is gone afterwards. CommandError says why not."""
    from concview.collector.postmortem import write_core
    from concview.errors import TargetError

    path = Path(options.core)
    with tempfile.TemporaryDirectory(prefix="concview-") as folder:
        made = Path(folder) / "core"
        try:
            with made.open("xb") as out:
                write_core(path, out, *(_absolute(text) for text in (options.exe, options.sysroot, options.source)))
        except TargetError as error:
            raise CommandError(f"{path}: {error}", error.exit_code, error.remedy) from None
        except FileNotFoundError:
            raise CommandError(f"{path}: no such file", Exit.BAD_FILE) from None
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}", Exit.BAD_FILE) from None
        yield made
