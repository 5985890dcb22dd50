from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import run

from latentedit.attributes import ATTRIBUTES
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.attributes import (
    BEYOND_PUBLISHED,
    SLIDES,
    evaluate_classifier,
)
from latentedit.io.cards import load_card


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


def test_the_calibration_error_stands_beside_what_chance_makes_of_it() -> None:
    random = np.random.RandomState(0)
    p = random.uniform(0, 1, (400, 2)).astype(np.float32)
    answers = random.uniform(size=p.shape)
    y = np.stack((answers[:, 0] < p[:, 0], answers[:, 1] < p[:, 1] ** 3), 1).astype(np.int8)
    report = evaluate_classifier(p, y, ["Male", "Bald"])
    right, wrong = report["attributes"].values()
    assert right["ece"] == pytest.approx(right["ece_if_calibrated"], abs=0.02)
    assert wrong["ece"] > 3 * wrong["ece_if_calibrated"]
    assert report["mean_ece_if_calibrated"] == pytest.approx(
        (right["ece_if_calibrated"] + wrong["ece_if_calibrated"]) / 2
    )


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
        *("accuracy", "balanced_accuracy", "f1", "mse", "ece", "majority"),
        *("ece_if_calibrated", "slides"),
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
