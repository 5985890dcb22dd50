from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given
from hypothesis import strategies as st

from latentedit.attributes import ATTRIBUTES
from latentedit.cards import load_card
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifier import (
    BEYOND_PUBLISHED,
    BINS,
    SLIDES,
    evaluate_classifier,
    expected_calibration_error,
)


def test_figures_by_hand() -> None:
    p = np.array([[0.9], [0.8], [0.4], [0.2], [0.6]], np.float32)
    y = np.array([[1], [1], [1], [0], [0]], np.int8)
    report = evaluate_classifier(p, y, ["Male"])
    row = report["attributes"]["Male"]
    assert row["accuracy"] == pytest.approx(3 / 5)
    assert row["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert row["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert row["mse"] == pytest.approx(np.mean([0.01, 0.04, 0.36, 0.04, 0.36]), rel=1e-5)
    assert row["majority"] == pytest.approx(3 / 5)
    assert row["slides"] == SLIDES["Male"] == 0.9732
    assert report["n"] == 5
    assert report["mean_accuracy"] == row["accuracy"]


def test_unknown_labels_do_not_count_and_unlabelled_attributes_are_left_out() -> None:
    p = np.array([[0.9, 0.5], [0.1, 0.5], [0.9, 0.5]], np.float32)
    y = np.array([[1, -1], [0, -1], [-1, -1]], np.int8)
    report = evaluate_classifier(p, y, ["Male", "Bald"])
    assert list(report["attributes"]) == ["Male"]
    assert report["attributes"]["Male"]["accuracy"] == 1
    with pytest.raises(LatentEditError, match="no labels"):
        evaluate_classifier(p, np.full_like(y, -1), ["Male", "Bald"])


def test_one_answer_only_is_no_error() -> None:
    row = evaluate_classifier(np.full((4, 1), 0.2), np.zeros((4, 1), np.int8), ["Bald"])
    assert row["attributes"]["Bald"]["balanced_accuracy"] == 1
    assert row["attributes"]["Bald"]["f1"] == 0


@given(st.integers(0, 99), st.integers(5, 300))
def test_calibration_error_is_torchmetrics(seed: int, count: int) -> None:
    classification = pytest.importorskip("torchmetrics.functional.classification")
    random = np.random.RandomState(seed)
    p, y = random.uniform(0, 1, count), random.randint(0, 2, count)
    theirs = classification.binary_calibration_error(
        torch.tensor(p), torch.tensor(y), n_bins=BINS, norm="l1"
    )
    assert expected_calibration_error(p, y) == pytest.approx(float(theirs), abs=1e-6)


def test_calibrated_probabilities_have_little_error() -> None:
    random = np.random.RandomState(0)
    p = random.uniform(0, 1, 100_000)
    y = random.uniform(0, 1, len(p)) < p
    assert expected_calibration_error(p, y) < 0.01
    assert expected_calibration_error(np.ones(10), np.zeros(10)) == 1


def test_the_slides_table() -> None:
    assert list(SLIDES) == list(ATTRIBUTES)
    assert np.mean(list(SLIDES.values())) == pytest.approx(0.8753, abs=5e-4)
    assert all(SLIDES[name] > published for name, published in BEYOND_PUBLISHED.items())


def test_command_reads_folders_and_files_alike(
    make_celeba: Callable[..., Path],
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_celeba(tmp_path / "celeba", count=12)
    (folder / "img_align_celeba" / "000003.jpg").write_bytes(b"no picture")
    options = ["--model", str(tiny_bundle), "--last", "8"]
    outputs = [tmp_path / "a.json", tmp_path / "b.json"]
    command = ["evaluate", "classifier", "--data", str(folder), "--json", str(outputs[0])]
    run([*command, *options, "--plot", str(tmp_path / "plot.png"), "--card"])
    (folder / "img_align_celeba" / "000003.jpg").unlink()
    faces = tmp_path / "faces"
    run(["prepare", "celeba", str(folder), "-o", str(faces), "--resolution", "16", "--skip-bad"])
    run(["evaluate", "classifier", "--data", str(faces), "--json", str(outputs[1]), *options])
    said = capsys.readouterr()
    assert "mean accuracy" in said.out
    first, second = (json.loads(path.read_text()) for path in outputs)
    assert first["n"] == second["n"] == 8
    assert first["attributes"] == second["attributes"]
    assert list(first["attributes"]["Male"]) == [
        *("accuracy", "balanced_accuracy", "f1", "mse", "ece", "majority", "slides")
    ]
    assert (tmp_path / "plot.png").stat().st_size > 1000
    card = load_card(tiny_bundle / "classifier.safetensors", "classifier")
    assert card["figures"] == first


def test_command_counts_what_it_left_out(
    make_celeba: Callable[..., Path],
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_celeba(tmp_path / "celeba", count=5)
    (folder / "img_align_celeba" / "000003.jpg").unlink()
    output = tmp_path / "report.json"
    command = ["evaluate", "classifier", "--data", str(folder), "--json", str(output)]
    run([*command, "--model", str(tiny_bundle)])
    report = json.loads(output.read_text())
    assert (report["n"], report["skipped"]) == (4, 1)
    said = capsys.readouterr()
    assert "skipped: " in said.err
    assert "000003.jpg" in said.err
