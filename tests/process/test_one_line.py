"""A program given as text of several lines is shown on one."""

from __future__ import annotations

from concview.process.discovery import human_name
from concview.text import one_line


def test_a_program_of_several_lines() -> None:
    code = "\nimport asyncio\n\nasync def main():\n\tpass\n"
    assert one_line(code) == "import asyncio async def main(): pass"
    assert human_name(("python3", "-c", code), "python3", False) == "-c import asyncio async def main(): pass"


def test_everything_else_stays() -> None:
    assert one_line(" a  b \x1b[31m") == " a  b \x1b[31m"
