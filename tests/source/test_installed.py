"""Whose code lies in a folder that packages were installed into, under a name of one's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from concview.source.facts import SourceFacts

CODE = "def f():\n    pass\n"


def _write(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name.endswith("__init__.py") else CODE)


def _record(folder: Path, package: str, *files: str) -> None:
    path = folder / f"{package}.dist-info" / "RECORD"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{name},sha256=x,1\n" for name in (*files, f"{package}.dist-info/RECORD")))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A program with what it needs installed beside it."""
    _write(tmp_path, "app.py", "views/__init__.py", "views/page.py", "redis/__init__.py", "redis/asyncio/__init__.py")
    _write(tmp_path, "redis/connection.py", "redis/asyncio/client.py", "six.py", "google/cloud/storage/__init__.py")
    _write(tmp_path, "google/cloud/storage/blob.py")
    _record(tmp_path, "redis-5", "redis/connection.py", "redis/asyncio/client.py", "../../bin/redis")
    _record(tmp_path, "six-1", "six.py", "__pycache__/six.cpython-313.pyc")
    _record(tmp_path, "google_cloud_storage-2", "google/cloud/storage/blob.py")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("app.py", "user"),
        ("views/page.py", "user"),
        ("redis/connection.py", "library"),
        ("redis/asyncio/client.py", "library"),
        ("six.py", "library"),
        ("google/cloud/storage/blob.py", "library"),
        ("not/there.py", "user"),
    ],
)
def test_what_a_record_names_is_a_library(bundle: Path, file: str, whose: str) -> None:
    facts = SourceFacts(None, 2e12)
    assert facts.lookup("f", str(bundle / file), 2).origin == whose
    assert facts.lookup("f", str(bundle / file), 1).origin == whose


def test_in_the_targets_folder(bundle: Path) -> None:
    """A relative path is meant from the target's working directory, and a folder of its own file system."""
    before = Path.cwd()
    os.chdir(bundle)
    try:
        facts = SourceFacts(os.getpid(), 2e12)
        assert facts.lookup("f", "six.py", 2).origin == "library"
        assert facts.lookup("f", "app.py", 2).origin == "user"
    finally:
        os.chdir(before)
    seen = SourceFacts(None, 2e12, root=str(bundle))
    assert seen.lookup("f", "/redis/connection.py", 2).origin == "library"
    assert seen.lookup("f", "/app.py", 2).origin == "user"


def test_lists_that_are_no_lists(tmp_path: Path) -> None:
    _write(tmp_path, "app.py", "bad/__init__.py", "bad/x.py")
    for name, data in (("a", b"\0\0"), ("b", b"\xff\xfe,,\n"), ("c", b'"\n../app.py,,\n./bad/x.py,,\n')):
        path = tmp_path / f"{name}.dist-info"
        path.mkdir()
        (path / "RECORD").write_bytes(data)
    (tmp_path / "d.dist-info").mkdir()
    os.mkfifo(tmp_path / "d.dist-info" / "RECORD")
    (tmp_path / "e.dist-info").write_text("a file")
    facts = SourceFacts(None, 2e12)
    assert facts.lookup("f", str(tmp_path / "app.py"), 2).origin == "user"
    assert facts.lookup("f", str(tmp_path / "bad" / "x.py"), 2).origin == "user"


def test_a_file_at_the_top_and_one_without_a_folder() -> None:
    facts = SourceFacts(None, 2e12)
    for file in ("/x.py", "x.py", "", "/", "//x.py", "a" * 5000 + "/x.py", "x\0y/z.py"):
        assert facts.lookup("f", file, 1).origin in ("user", "native")
