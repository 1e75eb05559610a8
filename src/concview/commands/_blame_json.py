"""Blame as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from concview.commands import _schema as out
from concview.model import Served
from concview.snapshot import Blame, BlameCause


def blame_out(blame: Blame) -> out.BlameOut:
    return out.BlameOut(
        window_s=round(blame.seconds, 3),
        threads=round(blame.threads, 3),
        active=round(blame.active, 3),
        held_up=_share(blame, blame.held_up),
        waits=_share(blame, blame.stalled),
        starved=_share(blame, blame.starved),
        unexplained=_share(blame, blame.unexplained),
        exact=round(blame.exact, 4),
        verdict=blame.verdict.replace(" ", "_"),
        severity=blame.severity.value if blame.severity is not None else None,
        sentence=blame.sentence,
        rule=blame.rule or None,
        more=list(blame.more),
        still_s=round(blame.still_s, 3),
        quiet=[
            out.BlameQuietOut(q.kind, q.what, round(q.threads, 3), out.SiteOut(q.file, q.line, ""))
            for q in blame.quiets
        ],
        causes=[_cause(blame, c) for c in blame.causes],
        moments=blame.moments,
        sampled_moments=blame.sampled_moments,
    )


def _share(blame: Blame, part: float) -> float:
    return round(blame.share(part), 4)


def _cause(blame: Blame, cause: BlameCause) -> out.BlameCauseOut:
    return out.BlameCauseOut(
        root=out.BlameRootOut(
            cause.kind, cause.what, out.SiteOut(cause.file, cause.line, cause.function), cause.inside
        ),
        family=cause.family,
        share=round(cause.share, 4),
        thread_s=round(cause.thread_s, 3),
        threads=list(cause.threads),
        path=[
            out.BlameStepOut(
                s.via,
                s.what,
                out.SiteOut(s.file, s.line, s.function),
                list(s.waiters),
                list(s.owners),
                s.confidence.value,
                list(s.waiting_tasks),
                list(s.owning_tasks),
                s.inside,
            )
            for s in cause.path
        ],
        at_most=round(cause.at_most, 3) if cause.at_most is not None else None,
        limits={"gil": round(blame.gil_held, 4), "cpu": round(blame.cpu_used, 4)},
        stuck_s=round(cause.stuck_s, 3),
        exact=cause.exact,
        rule=cause.rule or None,
        tasks=list(cause.tasks),
        work=served_out(cause.work),
        work_ahead=served_out(cause.work_ahead),
        silent_s=round(cause.silent_s, 3),
        estimate=round(cause.estimate, 3) if cause.estimate is not None else None,
        at_least=round(cause.at_least, 3) if cause.at_least is not None else None,
    )


def served_out(served: Iterable[Served]) -> list[out.ServedOut]:
    return [out.ServedOut(s.kind, s.name, s.threads, round(s.seconds, 3)) for s in served]
