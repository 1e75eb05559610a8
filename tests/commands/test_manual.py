"""The manual page is what the command line says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help differently in every version")
def test_the_manual_is_of_these_options(tmp_path: Path) -> None:
    page = tmp_path / "concview.1"
    subprocess.run([sys.executable, str(ROOT / "tools/make-man"), str(page)], check=True, timeout=60)
    assert page.read_text() == (ROOT / "docs/concview.1").read_text(), "run tools/make-man"
