"""Check how fast inference is, against the reference arithmetic and the processor's peak.

Not part of the tests, because these fail on a busy machine. Run `make bench`. pytest-benchmark
prints the table; `--benchmark-save` keeps it and `--benchmark-compare` compares it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import timing
import torch
from pool import measure_pool
from pytest_benchmark.fixture import BenchmarkFixture
from reference import make_pair
from runtimes import Case, compare, original, photographer, plain, prepared

from latentedit import FaceEditor
from latentedit.pretrained.cache import SOURCES
from latentedit.pretrained.wheels import installed

LEAST = {"float32": 2.5, "bfloat16": 4.0}
"""How many times faster than the reference the prepared form must be."""

OF_PEAK = 0.6
"""Least share of the convolution peak that pools with faces128 must reach."""


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("resolution", [256, 1024])
def test_ratios(resolution: int, batch: int) -> None:
    reference, generator = make_pair(resolution)
    z = torch.randn(batch, 512, generator=torch.Generator().manual_seed(0))
    case = Case("progressive", generator, z, others={"reference": reference})
    _, *rows = compare(case, rounds=5, forms={"prepared": prepared})
    for row in rows:
        assert row.ratio >= LEAST[row.precision], row
        if row.precision == "float32":
            assert row.largest <= 1
        else:
            assert row.mean <= 0.5, row
            assert row.psnr >= 45, row


@pytest.mark.parametrize(("size", "of_plain"), [(None, 0.6), (256, 0.9)])
def test_photographs(size: int | None, of_plain: float) -> None:
    network = photographer()
    files = installed(SOURCES["ffhq1024"])
    others = {"original": original(files / "SynthesisNetwork.xml")} if files and not size else {}
    case = Case("ffhq1024", network, torch.from_numpy(network.sample([0])), size, others)
    rows = compare(case, rounds=5, forms={"plain": plain, "prepared": prepared})
    seconds = {(row.form, row.precision): row.seconds for row in rows}
    fast = seconds["prepared", "float32"]
    assert fast <= of_plain * seconds["plain", "float32"]
    assert fast <= 1.1 * seconds.get(("original", "float32"), fast)
    assert all(row.largest <= 1 for row in rows if row.precision == "float32")


def test_pool() -> None:
    peak = timing.measure_peak(torch.float32)
    for name, figures in measure_pool(32, rounds=3, peak=peak).items():
        assert figures["of_peak"] >= OF_PEAK, (name, figures)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_face(benchmark: BenchmarkFixture, precision: str) -> None:
    editor = FaceEditor.load("faces128", device="cpu", precision=precision)
    benchmark(editor.render, editor.sample([0]))


def test_one_score(benchmark: BenchmarkFixture) -> None:
    editor = FaceEditor.load("faces128", device="cpu")
    benchmark(editor.score, editor.render(editor.sample([0])))


def seconds(*arguments: str) -> float:
    """Return the shortest time of three runs of python, in seconds."""
    runs = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        runs.append(time.perf_counter() - start)
    return min(runs)


def test_cold_start(tmp_path: Path) -> None:
    edit = ("edit", "--attr", "Young", "--step", "-3", "-o", str(tmp_path / "edit.png"))
    torch_alone = seconds("-c", "import torch")
    assert seconds("-m", "latentedit", *edit, "--model", "faces128") <= 1.3 * torch_alone + 1.5
    assert seconds("-m", "latentedit", "--help") <= 0.3
