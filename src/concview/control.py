"""What a session may say to its collector: one JSON object a line on the collector's standard input.

The dashboard, the command line and tests make these; `collector` obeys them. Nobody puts a line together by hand.
"""

from __future__ import annotations

import msgspec

#: The target has this long (seconds) to run some Python code, without which the agent cannot start; on the screen and
#: with --agent, where somebody waits for it.
PATIENCE_S = 60.0


class Command(msgspec.Struct, frozen=True, tag_field="do", forbid_unknown_fields=True):
    """Base of the commands."""


class AttachAgent(Command, frozen=True, tag="attach-agent"):
    """Ask the target to let the agent in."""

    patience_s: float = 10.0


class DetachAgent(Command, frozen=True, tag="detach-agent"):
    """Send the agent away."""


class CountCalls(Command, frozen=True, tag="count-calls"):
    """Count every call for `seconds`. `clock`: 'wall' or 'cpu' times them, too (yappi); 'none' counts only, with
    sys.monitoring (3.12 and newer). While the agent is on its way, counting begins when it is there."""

    clock: str = "wall"
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.clock not in ("wall", "cpu", "none"):
            raise ValueError(f"no such clock: {self.clock}")

    @property
    def source(self) -> str:
        """Which profiler that is."""
        return "monitoring" if self.clock == "none" else "yappi"


class StopCounting(Command, frozen=True, tag="stop-counting"):
    """End the counting that runs."""


class SetBudget(Command, frozen=True, tag="budget"):
    """The collector may use so many percent of a core from here on."""

    percent: float


AnyCommand = SetBudget | AttachAgent | DetachAgent | CountCalls | StopCounting
_decoder = msgspec.json.Decoder(AnyCommand)


class BadCommand(ValueError):
    """A line that is no command."""


def encode(command: Command) -> bytes:
    """One line with its end."""
    return msgspec.json.encode(command) + b"\n"


def decode(line: bytes) -> AnyCommand:
    """The command on a line; BadCommand for anything else."""
    try:
        command: AnyCommand = _decoder.decode(line)
        return command
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCommand(str(error)) from None
