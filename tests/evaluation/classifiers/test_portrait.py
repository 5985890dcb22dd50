"""Figures of portrait assessors, on answers whose figures are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import exit_code as run
from portraits import draw_portrait

from latentedit.classifiers.portrait import QUALITIES, PortraitConfig, PortraitNetwork
from latentedit.data.face_file import create_face_data
from latentedit.data.portraits import COLUMNS
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.portrait import (
    SLIDES,
    STRENGTHS,
    compare_with_baselines,
    evaluate_doubt,
    evaluate_flags,
    order_under_degradation,
    portrait_rows,
)
from latentedit.io.images import UInt8Array
from latentedit.pretrained.bundles import save_part

FLAGS = np.array([[0, 1, -1, 0, 1, -1], [1, 1, 0, 0, 0, -1], [0, 0, 1, -1, 1, -1]], np.int8)


def test_perfect_answers() -> None:
    report = evaluate_flags(FLAGS.astype(np.float32).clip(0, 1), FLAGS)
    assert list(report) == list(QUALITIES[:5])  # nobody knows the pose
    for name in ("blur", "occlusion", "make-up", "expression"):
        row = report[name]
        assert row["accuracy"] == row["balanced_accuracy"] == row["f1"] == row["roc_auc"] == 1
        assert row["ece"] == row["mse"] == 0
    assert report["make-up"]["n"] == 2
    assert report["blur"]["poor"] == pytest.approx(1 / 3)
    assert report["illumination"]["roc_auc"] is None  # one answer only


def test_figures_by_hand() -> None:
    poor = np.full((4, 6), np.nan, np.float32)
    poor[:, 0] = 0.9, 0.6, 0.4, 0.2
    flags = np.full((4, 6), -1, np.int8)
    flags[:, 0] = 1, 0, 1, 0
    (row,) = evaluate_flags(poor, flags).values()
    assert row["accuracy"] == row["balanced_accuracy"] == row["f1"] == 0.5
    assert row["roc_auc"] == 0.75
    assert row["mse"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)
    assert row["majority"] == 0.5


def test_no_flags() -> None:
    with pytest.raises(LatentEditError, match="no flags"):
        evaluate_flags(np.zeros((3, 6), np.float32), np.full((3, 6), -1, np.int8))


def test_doubt_by_hand() -> None:
    good = np.full((5, 6), 0.9, np.float32)
    good[:, 0] = 0.01, 0.9, 0.9, 0.001, 0.9  # blur
    good[:, 2] = 0.1, 0.45, 0.55, 0.9, 0.2  # make-up
    flags = np.zeros((5, 6), np.int8)
    flags[:, 2] = 0, 1, 1, -1, 1
    report = evaluate_doubt(good, flags)
    assert report["make-up"]["unsure"] == {"share": 0.5, "right": 0.5, "elsewhere": 0.5}
    assert report["make-up"]["blurred"]["share"] == 0.25  # the fourth has no flag
    assert report["make-up"]["blurred"]["right"] == 0
    assert report["make-up"]["blurred"]["elsewhere"] == pytest.approx(2 / 3)
    assert report["occlusion"]["blurred"] == {"share": 0.2, "right": 1, "elsewhere": 1}
    assert report["pose"] == {"unsure": {"share": 0, "right": None, "elsewhere": 1}}


def test_better_means_better_in_every_figure() -> None:
    good = {"accuracy": 0.9, "balanced_accuracy": 0.9, "f1": 0.9, "roc_auc": 0.9}
    extra = {"ece": 0.01, "poor": 0.3}
    compared = compare_with_baselines(
        {"blur": {**good, **extra}, "pose": {**good, **extra}, "make-up": {**good, **extra}},
        {"blur": dict.fromkeys([*good, "ece"], 0.8), "pose": {**good, "f1": 0.95, "ece": 0.1}},
    )
    assert [compared[name]["better"] for name in ("blur", "pose", "make-up")] == [True, False, None]
    assert compared["pose"]["slides_accuracy"] == SLIDES["pose"] == 0.9845
    rows = portrait_rows(compared)
    assert rows[0] == (
        *("blur", "0.30", "0.900/0.800", "0.900/0.800", "0.900/0.800"),
        *("0.900/0.800", "0.010/0.800", "0.9735"),
    )
    assert rows[2][2] == "0.900/-"
    one_kind = {"blur": {**good, "roc_auc": None}}  # portraits that are all good, or all poor
    assert (
        compare_with_baselines(one_kind, {"blur": {**good, "f1": 0.8}})["blur"]["better"] is False
    )
    worse = {"blur": {**dict.fromkeys(good, 0.8), "roc_auc": 0.99}}
    assert compare_with_baselines(one_kind, worse)["blur"]["better"] is True


PORTRAITS = np.stack([draw_portrait((96, 96), (48.0, 48.0), 21.0 + i) for i in range(3)])


def test_a_score_that_falls_with_what_is_left_of_the_picture_is_in_order() -> None:
    def scores(images: UInt8Array) -> np.ndarray:
        # blur takes detail away, occlusion and bad light change the picture
        detail = np.abs(np.diff(images.astype(float), axis=2)).mean((1, 2, 3)) / 255
        likeness = [min(np.abs(i.astype(float) - p).mean() for p in PORTRAITS) for i in images]
        kept = 1 - np.array(likeness) / 255
        return np.stack((detail, kept, kept, kept, kept, kept), 1).astype(np.float32)

    report = order_under_degradation(scores, PORTRAITS)
    assert set(report) == {"blur", "occlusion", "illumination"}
    for kinds in report.values():
        assert len(kinds) == 3
        for row in kinds.values():
            assert row["by_portrait"] > 0.9
            assert len(row["mean_scores"]) == len(STRENGTHS)
            assert row["mean_scores"][0] > row["mean_scores"][-1]
    assert 0.7 < report["blur"]["camera shake"]["spearman"] < 1


def test_a_constant_score_has_no_order() -> None:
    report = order_under_degradation(lambda x: np.full((len(x), 6), 0.5, np.float32), PORTRAITS[:2])
    assert report["blur"]["all"]["by_portrait"] == 0
    assert report["blur"]["all"]["spearman"] == 0


def test_commands_from_portraits_to_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    data, random = tmp_path / "p.faces", np.random.RandomState(0)
    with create_face_data(data, resolution=96, label_names=COLUMNS, source="drawn") as writer:
        for face in range(150):
            poor = int(random.randint(2))
            image = np.clip(draw_portrait((96, 96), (48.0, 48.0), 21.0) - 90.0 * poor, 0, 255)
            writer.append(
                image.astype(np.uint8), [0, 0, poor, 0, poor, poor] + [0] * 4, f"{face}#0"
            )
    part = ("--data", data, "--validation", 20)
    baselines = tmp_path / "baselines"
    words = ("-o", baselines, "--quality", "make-up", "--epochs", 2, "--calibration", 10)
    assert run("train", "portrait-baselines", *part, *words) == 0
    assert "make-up: held-out accuracy" in capsys.readouterr().out
    assert (baselines / "accuracy.png").stat().st_size > 1000
    torch.manual_seed(0)
    config = PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1))
    save_part(tmp_path / "model", "portrait", PortraitNetwork(config), config, {})
    report = tmp_path / "report.json"
    words = ("--json", report, "--baselines", baselines, "--order", 2, "--card")
    assert run("evaluate", "portrait", *part, *words, "--model", tmp_path / "model") == 0
    out = capsys.readouterr().out
    assert "20 portraits of 20 held-out faces" in out
    assert "blur by camera shake: Spearman" in out
    figures = json.loads(report.read_text())
    assert figures["baseline_epochs"] == {"make-up": 2}
    assert figures["qualities"]["make-up"]["baseline"]["n"] == 20
    assert figures["qualities"]["pose"]["baseline"] is None
    assert figures["order_faces"] == 2
    assert set(figures["doubt"]) == set(QUALITIES)
    card = json.loads((tmp_path / "model" / "portrait.json").read_text())
    assert card["figures"] == figures
