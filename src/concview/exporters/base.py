"""What an exporter is: one file in this package, offering `EXPORTER`. Its name on the command line is the file's.

An exporter gets a recording and asks it for samples (`Recording.samples`): pieces of time with their stacks resolved,
states, locks and blockers. It never puts stacks together itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from concview.analysis.samples import Samples, Selection
from concview.config import RuleConfig
from concview.session.account import Account, account_of_file
from concview.session.phrases import unseen_for
from concview.session.recording import Recording


class Nothing(Exception):
    """The recording does not hold what the format is made of. One sentence, and the step that would help."""

    def __init__(self, why: str, enable: str = "") -> None:
        super().__init__(why)
        self.why, self.enable = why, enable


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. `group_by` is one of the exporter's `groups`."""

    selection: Selection = field(default_factory=Selection)
    side: str = "waiter"
    group_by: str = ""
    rules: RuleConfig | None = None  #: of the settings, for formats that judge
    tasks: bool = False  #: tasks instead of threads

    def account(self, recording: Recording, samples: Samples) -> Account:
        """What was judged of the selected time."""
        chosen = self.selection
        return account_of_file(
            recording.path, self.rules, chosen.from_s, chosen.to_s, samples.seconds, recording.number
        )


class Write(Protocol):
    def __call__(self, recording: Recording, out: BinaryIO, request: Request) -> list[str]:
        """Write the file; what a person should know about it, a sentence each. Raises Nothing before writing."""
        ...


class WriteFolder(Protocol):
    def __call__(self, recording: Recording, folder: Path, request: Request) -> list[str]:
        """Write several files into an existing folder."""
        ...


@dataclass(frozen=True, slots=True)
class Exporter:
    """`summary`: which tools read it, in a few words. `selects`: it takes --threads, --label, --state, --from and --to;
    `sides`: --side; `groups`: values of --group-by, the first is the default."""

    summary: str
    write: Write | None = None
    write_folder: WriteFolder | None = None  #: instead, where the format is several files
    selects: bool = True
    sides: bool = False
    groups: tuple[str, ...] = ()
    suffix: str = ""  #: that its readers expect
    tasks: bool = False  #: it takes --tasks
    judges: bool = False  #: it shows findings, so that `Request.rules` counts
    together: bool = False  #: several processes can be in one file
    needs: str = ""  #: a module that is no part of concview's own requirements
    extra: str = ""  #: the extra that brings it


def remarks(samples: Samples) -> list[str]:
    """What was not seen, of samples that were read to the end."""
    said: list[str] = []
    stats = samples.stats
    if stats is not None and stats.misses:
        said.append(f"{stats.misses} of {stats.samples + stats.misses} samples were missed")
    if told := unseen_for(samples.gaps.longest(), samples.gaps.seconds):
        said.append(told)
    native = sum(t.native for t in samples.threads)
    if native and not samples.selection.threads:
        said.append(f"{native} native threads without a Python stack are left out; --threads takes them in")
    if samples.left_out:
        said.append(f"{samples.left_out} of very many different stacks are shown as one")
    return said
