"""Every key of the flame view and of the deep look is pressed."""

from __future__ import annotations

import fake
import pytest
from flame_fake import CallSession
from flame_keys import CHECKS

from concview.tui.app import ConcviewApp
from concview.tui.keys import KEYS, by_id


@pytest.mark.parametrize(("key", "stroke"), [(k, s) for k in CHECKS for s in by_id(k).keys.split(",")])
async def test_key(key: str, stroke: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    app = ConcviewApp(CallSession([fake.busy(20)]))
    async with app.run_test(size=(100, 24)) as pilot:
        await fake.until(pilot, lambda: app.screen.view.ready)  # type: ignore[attr-defined]

        async def press() -> None:
            await pilot.press(stroke)
            await fake.drawn(pilot)

        await CHECKS[key](pilot, press)


def test_no_key_of_theirs_is_forgotten() -> None:
    assert {k.id for k in KEYS if k.scope in ("flame", "deep")} <= set(CHECKS)
