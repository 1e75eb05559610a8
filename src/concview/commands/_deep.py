"""`dump --locals` and `--native`: one look by py-spy, whose frames take the place of the sampled ones."""

from __future__ import annotations

from concview.commands._schema import FrameOut
from concview.commands.base import CommandError, Exit, complain
from concview.text import duration


def frames(pid: int, native: bool, local: bool, blocking: bool) -> dict[int, list[FrameOut]]:
    """Frames by tid. CommandError when py-spy cannot look.

    Native frames can only be read while the target stands still: asking for them is asking for that.
    """
    from concview.engines.pyspy import look
    from concview.errors import TargetError, TargetGone

    try:
        seen = look(pid, native=native, locals=local, nonblocking=not (blocking or native))
    except TargetError as error:
        raise CommandError(str(error), error.exit_code, error.remedy) from None
    except TargetGone:
        raise CommandError(f"process {pid} has ended", Exit.NO_TARGET) from None
    if seen.stopped:
        complain(f"py-spy stopped the process for up to {duration(seen.took_s)} to read it")
    return {
        t.tid: [
            FrameOut(f.function, f.file, f.line, locals={x.name: x.value for x in f.locals} if local else None)
            for f in t.frames
        ]
        for t in seen.threads
        if t.tid
    }
