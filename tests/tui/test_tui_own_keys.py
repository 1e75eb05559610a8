"""Keys and colours of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fake
import pytest

from concview.tui import keys
from concview.tui.app import ConcviewApp
from concview.tui.keys import KEYS, UnusableKey
from concview.tui.theme import CHOICES, palette_of

TABLE = Path(__file__).resolve().parents[2] / "docs" / "keys.md"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    keys.remap({})


def test_the_table_in_the_documents_is_the_one_in_force() -> None:
    """Write it anew with `python -m concview.tui.keys > docs/keys.md`."""
    assert TABLE.read_text() == keys.document()


async def test_a_key_of_ones_own_does_what_the_old_one_did() -> None:
    app = ConcviewApp(fake.FakeSession([fake.healthy()]), own_keys={"pause": "ctrl+o,f5", "filter": ","})
    async with app.run_test(size=(120, 120)) as pilot:
        await pilot.press("1", "space")
        assert not app.screen.paused  # type: ignore[attr-defined]
        await pilot.press("ctrl+o")
        await fake.until(pilot, lambda: app.screen.paused)  # type: ignore[attr-defined]
        await fake.until(pilot, lambda: "ctrl+o f5 resumes" in _text(app))
        await pilot.press("f5")
        await fake.until(pilot, lambda: not app.screen.paused)  # type: ignore[attr-defined]
        await pilot.press("question_mark")
        await fake.until(pilot, lambda: "ctrl+o f5" in _text(app))
    assert keys.by_id("filter").keys == "comma"


def _text(app: ConcviewApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"paus": "p"}, "there is no 'paus'"),
        ({"pause": "wheel"}, "'wheel' is no key"),
        ({"pause": "hyper+x"}, "is no key"),
        ({"pause": ""}, "is no key"),
        ({"pause": "p"}, "'p' would be both pause and processes"),
        ({"sort": "q"}, "would be both"),
    ],
)
def test_what_cannot_be_a_key_is_told(own: dict[str, str], said: str) -> None:
    before = keys.table()
    with pytest.raises(UnusableKey, match=said):
        keys.remap(own)
    assert keys.table() is before


def test_two_keys_can_change_places() -> None:
    keys.remap({"pause": "p", "processes": "space"})
    assert keys.by_id("pause").shown == "p" and keys.by_id("processes").keys == "space"
    assert len(keys.table()) == len(KEYS)


@pytest.mark.parametrize("choice", CHOICES)
async def test_every_theme_is_there_and_its_states_differ(choice: str) -> None:
    app = ConcviewApp(fake.FakeSession([fake.healthy()]), theme=choice)
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.theme == CHOICES[choice]
        await pilot.pause()
        styles = palette_of(app.screen).states
        assert len(set(styles)) == len(styles)
