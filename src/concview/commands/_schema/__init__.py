"""The JSON that `check` and `dump` print. Scripts rely on it: fields may be added, never changed or removed.

A number that cannot be seen is null; percentages are of one core, shares are 0..1. docs/schema has it as JSON Schema,
written by tools/make-schema.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from concview.commands._output import json_text
from concview.commands._schema.blame import BlameCauseOut, BlameOut, BlameQuietOut, BlameRootOut, BlameStepOut
from concview.commands._schema.check import CheckOut, MarkOut, RepeatedOut, ReportOut, RunsOut
from concview.commands._schema.compare import (
    ComparedFindingOut,
    ComparedPlaceOut,
    ComparedRunOut,
    ComparisonOut,
    ComparisonRowOut,
)
from concview.commands._schema.dump import (
    CycleOut,
    DumpOut,
    DumpPartOut,
    DumpTaskOut,
    DumpThreadOut,
    FrameOut,
    GilOut,
    HoldOut,
    TaskWaitingOut,
    WaitingForOut,
)
from concview.commands._schema.findings import (
    FindingOut,
    MeasuredOut,
    NotApplicableOut,
    PendingOut,
    ServedOut,
    StackOut,
)
from concview.commands._schema.process import (
    GapOut,
    InterpreterOut,
    ListeningOut,
    ProcessOut,
    RefusalOut,
    SamplingOut,
    TargetOut,
)
from concview.commands._schema.tasks import LoopOut, SharedOut, TaskGroupOut, TasksOut
from concview.commands._schema.threads import (
    ChainOut,
    DoingOut,
    EdgeOut,
    ExactWaitsOut,
    HolderOut,
    LockOut,
    PlaceWaitsOut,
    SiteOut,
    ThreadOut,
    WakerOut,
    WakesOut,
)
from concview.commands._schema.tree import AcrossOut, NodeOut, OrphanOut, ProcessPartOut
from concview.commands._schema.work import RouteOut, WorkOut, WorkSummaryOut

SCHEMA = 1

__all__ = [
    "PUBLISHED",
    "SCHEMA",
    "AcrossOut",
    "BlameCauseOut",
    "BlameOut",
    "BlameQuietOut",
    "BlameRootOut",
    "BlameStepOut",
    "ChainOut",
    "CheckOut",
    "ComparedFindingOut",
    "ComparedPlaceOut",
    "ComparedRunOut",
    "ComparisonOut",
    "ComparisonRowOut",
    "CycleOut",
    "DoingOut",
    "DumpOut",
    "DumpPartOut",
    "DumpTaskOut",
    "DumpThreadOut",
    "EdgeOut",
    "ExactWaitsOut",
    "FindingOut",
    "FrameOut",
    "GapOut",
    "GilOut",
    "HoldOut",
    "HolderOut",
    "InterpreterOut",
    "ListeningOut",
    "LockOut",
    "LoopOut",
    "MarkOut",
    "MeasuredOut",
    "NodeOut",
    "NotApplicableOut",
    "OrphanOut",
    "PendingOut",
    "PlaceWaitsOut",
    "ProcessOut",
    "ProcessPartOut",
    "RefusalOut",
    "RepeatedOut",
    "ReportOut",
    "RouteOut",
    "RunsOut",
    "SamplingOut",
    "ServedOut",
    "SharedOut",
    "SiteOut",
    "StackOut",
    "TargetOut",
    "TaskGroupOut",
    "TaskWaitingOut",
    "TasksOut",
    "ThreadOut",
    "WaitingForOut",
    "WakerOut",
    "WakesOut",
    "WorkOut",
    "WorkSummaryOut",
    "encode",
    "json_schema",
]

#: What is published under docs/schema, by its name there without the version.
PUBLISHED: dict[str, type[msgspec.Struct]] = {
    "check": CheckOut,
    "dump": DumpOut,
    "report": ReportOut,
    "runs": RunsOut,
    "compare": ComparisonOut,
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `name` prints. It allows more fields than it knows: later versions add some."""
    (reference,), parts = msgspec.json.schema_components([PUBLISHED[name]], ref_template="#/$defs/{name}")
    for part in parts.values():
        if "description" in part:
            part["description"] = cleandoc(part["description"])  # msgspec does so from 0.23 on
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:concview:{name}:{SCHEMA}",
        "title": f"concview {name} --format json, schema {SCHEMA}",
        **reference,
        "$defs": parts,
    }


def encode(value: msgspec.Struct) -> str:
    """Indented JSON with a final newline."""
    return json_text(value)
