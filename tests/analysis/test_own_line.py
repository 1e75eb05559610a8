"""Where a wait ends in a library, the program's own line is told with the library's behind it."""

from __future__ import annotations

import pytest

from concview.analysis.blame import words
from concview.analysis.blame.nouns import End, Root, called_from
from concview.model import Frame, Stack
from concview.text import file_name

QUERY = Frame("Connection.wait", "/v/lib/python3.12/site-packages/psycopg/connection.py", 495, origin="library")
PARSE = Frame("decode", "/usr/lib/python3.12/json/__init__.py", 353, origin="stdlib")
PAGE = Frame("page", "/srv/shop.py", 51)
SERVER = Frame("ThreadWorker.run", "/v/lib/python3.12/site-packages/gunicorn/workers/gthread.py", 398, origin="library")


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ((QUERY, PAGE, SERVER), "waits (shop.py:51, in psycopg/connection.py:495)"),
        ((PARSE, PAGE), "waits (shop.py:51, in json/__init__.py:353)"),
        ((PAGE, SERVER), "waits (shop.py:51)"),
        ((SERVER,), "waits (gthread.py:398)"),
    ],
)
def test_the_programs_own_line_comes_first(frames: tuple[Frame, ...], told: str) -> None:
    assert words.end(Root(End.SLEEP, "waits", called_from(Stack(frames), frames[0]))) == told


def test_a_name_that_many_files_have_is_shown_with_its_folder() -> None:
    assert file_name("/usr/lib/python3.12/logging/__init__.py") == "logging/__init__.py"
    assert file_name("/srv/shop.py") == "shop.py"
    assert file_name("__main__.py") == "__main__.py"
    assert file_name("") == ""
