"""`concview dump PID`: one annotated thread dump."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import msgspec

from concview.commands import _core, _options, _several
from concview.commands.base import Command, CommandError, Exit, complain
from concview.text import plural

if TYPE_CHECKING:
    from concview.commands._schema import FrameOut
    from concview.config import Config
    from concview.snapshot import Snapshot

#: Long enough to tell what is moving from what stands still, and to see run-queue delay grow.
SECONDS = 0.5
RATE = 200.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview dump [OPTIONS] PID... | --core FILE"
    parser.add_argument("pids", metavar="PID", nargs="*", help="process to look at (or several)")
    _several.add(parser)
    parser.add_argument("--format", choices=["text", "json"], default="text")
    parser.add_argument("--locals", action="store_true", help="local variables of every frame (by py-spy)")
    parser.add_argument("--native", action="store_true", help="also C frames (py-spy stops the process for a moment)")
    _core.add(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _open, _preflight

    config = _options.settings(options)
    if bool(options.pids) == (options.core is not None):
        raise CommandError("what to dump?", Exit.USAGE, "give a PID, or several, or --core FILE")
    running = [f"--{name}" for name in ("tree", "locals", "native", "blocking") if getattr(options, name)]
    if _core.check(options, *running):
        with _core.recorded(options) as path, _open.read_recording(str(path), config) as observation:
            return _print(_open.finish(observation, SECONDS), {}, options.format)
    if options.rate is None:
        config = msgspec.structs.replace(config, rate=max(config.rate, RATE))
    if _several.wanted(options, options.pids):
        return _dump_several(options, config)
    pid = _options.pid_of(options.pids[0])
    _preflight.look_at(pid)
    with _open.watch_process(pid, config, options.blocking) as observation:
        snapshot = _open.finish(observation, SECONDS)
        # After the sampling: --native stops the process for a moment, which the states must not show.
        deep = _deep(pid, options, snapshot) if options.locals or options.native else {}
    return _print(snapshot, deep, options.format)


def _print(snapshot: Snapshot, deep: dict[int, list[FrameOut]], form: str) -> int:
    from concview.commands import _build, _dump_text, _schema, _text_writer

    if not snapshot.threads:
        why = f" ({snapshot.ending})" if snapshot.ending else ""
        raise CommandError(f"nothing was seen{why}", Exit.NO_TARGET)
    if ending := _build.unusual_ending(snapshot):
        complain(ending)
    if form == "json":
        sys.stdout.write(_schema.encode(_build.dump_out(snapshot, deep)))
    else:
        sys.stdout.write(_dump_text.dump_text(snapshot, _text_writer.Pen(), deep))
    return Exit.FINE


def _dump_several(options: argparse.Namespace, config: Config) -> int:
    from concview.commands import _build, _dump_text, _schema, _text_writer

    made = _several.group(options, config, options.pids)
    try:
        parts = _several.finish(made, SECONDS)
        seen = [p for p in parts if p.last.threads and not p.ended]
        missed = [f"{p.member.name} ({p.member.pid}): {p.why}" for p in parts if p.why and not p.ended]
        deep = {p.member.pid: _deep(p.member.pid, options, p.last) for p in seen if options.locals or options.native}
    finally:
        made.close()
    if made.more:
        missed.append(f"{plural(made.more, 'process', 'processes')} beyond the first {made.most}")
    if not seen:
        raise CommandError("nothing was seen of any of them", Exit.NO_TARGET)
    if options.format == "json":
        dumps = [
            _schema.DumpPartOut(
                p.member.pid,
                p.member.start_ticks,
                p.member.parent,
                p.member.role.value,
                p.member.name,
                _build.dump_out(p.last, deep.get(p.member.pid, {})),
            )
            for p in seen
        ]
        out = msgspec.structs.replace(dumps[0].dump, processes=dumps, missed=missed)
        sys.stdout.write(_schema.encode(out))
        return Exit.FINE
    for number, part in enumerate(seen):
        pen = _text_writer.Pen()
        pen.line(f"{'' if not number else chr(10)}── {part.member.name} ({part.member.pid})", _text_writer.BOLD)
        sys.stdout.write(pen.text())
        sys.stdout.write(_dump_text.dump_text(part.last, _text_writer.Pen(), deep.get(part.member.pid, {})))
    return Exit.FINE


def _deep(pid: int, options: argparse.Namespace, snapshot: Snapshot) -> dict[int, list[FrameOut]]:
    """py-spy's frames by tid, with local variables and native frames, and the source lines that sampling read."""
    from concview.commands._deep import frames

    found = frames(pid, native=options.native, local=options.locals, blocking=options.blocking)
    lines = {(f.file, f.line): f.text for thread in snapshot.threads for f in thread.stack.frames}
    for stack in found.values():
        for frame in stack:
            frame.text = lines.get((frame.file, frame.line), "")
    return found


COMMAND = Command(
    name="dump",
    summary="one annotated thread dump: who waits for what, who holds it, deadlocks",
    description="Print every thread with its state, what it waits for and who holds that, the locks it holds and its\n"
    "stack; deadlock cycles first.",
    configure=configure,
    run=run,
    order=21,
)
