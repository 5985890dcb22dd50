"""The notebook, run from top to bottom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "whole-way.ipynb"


def test_outputs_are_cleared() -> None:
    """Pictures would make the history large, and say nothing that a run does not."""
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert len(cells) >= 8
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """Takes over 5 seconds: a kernel starts, and 500 faces are drawn and scored for a pool."""
    pytest.importorskip("nbmake")
    words = [
        *(sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=300", "-o", "addopts="),
        *("-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", tmp_path, NOTEBOOK),
    ]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
