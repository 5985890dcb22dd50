"""Benchmarks run, and print what pages quote; how fast is for `make bench` to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow  # a process that imports everything, and a photo of 12 megapixels
def test_the_table_of_others_has_its_rows() -> None:
    words = ["boundary", "photo", "--rounds", "1", "--latents", "400"]
    script = [sys.executable, str(ROOT / "benchmarks" / "others.py"), *words]
    result = subprocess.run(script, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = [line.split("|")[1:-1] for line in result.stdout.splitlines() if line.startswith("| ")]
    instead = [row[1] for row in rows[1:]]
    assert len(instead) == 3
    assert all(
        name in words for name, words in zip(("SVC(", "LinearSVC", "FFHQ"), instead, strict=True)
    )
    for _, _, other, ours, ratio in rows[1:]:
        assert float(ours) > 0
        assert float(ratio) == pytest.approx(float(other) / float(ours), rel=0.2)
