"""What a kind of wait is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from concview import registry
from concview.analysis.blame.nouns import Link, Root

if TYPE_CHECKING:
    from concview.analysis.blame.world import Look, Waiter


class Kind(Protocol):
    """Class attributes are its metadata; instances hold nothing."""

    order: ClassVar[int]  #: lower ones are asked first
    fixed: ClassVar[bool]  #: what it says depends on the stack and the wait alone, not on other threads

    def applies(self, look: Look) -> bool:
        """Whether a wait of this stack may be of this kind."""
        ...

    def follow(self, waiter: Waiter) -> Root | Link | None:
        """The end, or whom it waits for; None: it is not of this kind after all."""
        ...


def kinds() -> tuple[Kind, ...]:
    found: list[Kind] = list(registry.everything("concview.analysis.blame.kinds", "KIND").values())
    return tuple(sorted(found, key=lambda k: k.order))
