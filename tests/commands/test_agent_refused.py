"""An agent that was asked for and did not come, or would not do what was asked, is told with its reason."""

from __future__ import annotations

from pathlib import Path

from concview import codec
from concview.commands import _agent
from concview.commands.record import _said_of_agent
from concview.model import AgentStatus, Hello, Target

REFUSED = AgentStatus(2, "refused", "yappi cannot be imported in the target", "python -m pip install yappi")
ATTACHED = AgentStatus(3, "attached")


def test_what_is_said() -> None:
    assert _agent.not_in(ATTACHED, None) is None
    assert _agent.not_in(ATTACHED, REFUSED) == (f"no view from inside: {REFUSED.text}", REFUSED.remedy)
    asking = AgentStatus(1, "asking", "the target waits or is in native code")
    assert "native code" in (_agent.not_in(asking, None) or ("",))[0]
    assert _agent.not_in(None, None) is not None


def test_a_recording_tells_what_became_of_it(tmp_path: Path) -> None:
    path = tmp_path / "x.concview"

    def recorded(*statuses: AgentStatus) -> tuple[AgentStatus | None, AgentStatus | None]:
        with path.open("wb") as file:
            writer = codec.Writer(file)
            writer.add(Hello(codec.STREAM_VERSION, "0", Target(1, "3.12.0", (), 0.0), "direct", 100.0, 5.0, 1, 0.0, {}))
            for status in statuses:
                writer.add(status)
            writer.flush()
        return _said_of_agent(path)

    assert recorded(AgentStatus(1, "asking"), ATTACHED, AgentStatus(9, "ended")) == (ATTACHED, None)
    status, refusal = recorded(ATTACHED, REFUSED)
    assert status == ATTACHED and refusal == REFUSED
    assert recorded() == (None, None)
