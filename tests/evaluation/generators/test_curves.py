"""Curves of figures: along a run's snapshots, and along truncation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generator_runs import TINY, train
from tiny_generators import mobilestylegan
from typer.testing import CliRunner

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.cli.main import app
from latentedit.data.face_file import FaceData, open_face_data
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.generators.curves import Render, measure_curve
from latentedit.evaluation.generators.report import RealFaces, describe_real_faces
from latentedit.io.images import UInt8Array
from latentedit.pretrained.bundles import save_generator

N, HELD_OUT = 12, 10


@pytest.fixture(autouse=True)
def extras() -> None:
    for name in ("torchmetrics", "prdc", "dlib", "face_recognition_models"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'latentedit[evaluate]'")


@pytest.fixture
def real(data: FaceData, tiny_classifier: AttributeClassifier) -> RealFaces:
    return describe_real_faces(data, tiny_classifier, N, validation=HELD_OUT)


def remembering(data: FaceData, noise: int) -> Callable[[], Render]:
    """A generator that knows the training faces, under noise."""

    def render(seeds: Iterable[int]) -> UInt8Array:
        rows = np.array([seed % 20 for seed in seeds])
        noises = np.random.RandomState(0).randint(-noise, noise + 1, data.images[rows].shape)
        return (data.images[rows] + noises).clip(0, 255).astype(np.uint8)

    return lambda: render


def refuse() -> Render:
    raise AssertionError("measured twice")


def test_each_point_is_measured_once_and_noise_shows(
    data: FaceData, real: RealFaces, tiny_classifier: AttributeClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "curve.json"
    settings = {"along": "noise", "first_seed": 0}
    measure_curve(path, {100.0: remembering(data, 100)}, tiny_classifier, real, **settings)
    moments = {0.0: remembering(data, 1), 100.0: refuse}
    curve = measure_curve(path, moments, tiny_classifier, real, **settings)
    assert json.loads(path.read_text()) == curve
    assert [point["noise"] for point in curve["points"]] == [0, 100]
    clean, noisy = curve["points"]
    for space in ("dlib", "classifier"):
        distances = [point["spaces"][space]["frechet"]["samples"] for point in (clean, noisy)]
        assert distances[0] < distances[1]
    assert clean["sliced_wasserstein"]["mean"] < noisy["sliced_wasserstein"]["mean"]


def test_a_file_of_other_settings_is_not_mixed(
    data: FaceData, real: RealFaces, tiny_classifier: AttributeClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "curve.json"
    moments = {0.0: remembering(data, 1)}
    measure_curve(path, moments, tiny_classifier, real, along="noise", first_seed=0)
    before = path.read_bytes()
    with pytest.raises(LatentEditError, match="other settings: choose another file"):
        measure_curve(path, moments, tiny_classifier, real, along="noise", first_seed=1)
    with pytest.raises(LatentEditError, match="other settings"):
        measure_curve(
            path,
            moments,
            tiny_classifier,
            real,
            along="noise",
            first_seed=0,
            subject={"generator_hash": "another"},
        )
    for text in ('{"figures": 1}', "[1]"):
        path.with_name("other.json").write_text(text)
        with pytest.raises(LatentEditError, match="other settings"):
            measure_curve(
                path.with_name("other.json"),
                moments,
                tiny_classifier,
                real,
                along="noise",
                first_seed=0,
            )
    assert path.read_bytes() == before


def test_points_of_different_runs_are_not_mixed(
    data: FaceData, real: RealFaces, tiny_classifier: AttributeClassifier, tmp_path: Path
) -> None:
    path, moments = tmp_path / "curve.json", {0.0: remembering(data, 1)}

    def measure(**options: object) -> object:
        return measure_curve(
            path, moments, tiny_classifier, real, along="noise", first_seed=0, **options
        )

    first = measure(sources={0.0: "train -o a"})
    assert measure(sources={0.0: "train -o a"}) == measure() == first
    with pytest.raises(LatentEditError, match=r"noise 0 of another run \(train -o a\)"):
        measure(sources={0.0: "train -o b"})
    assert json.loads(path.read_text()) == first


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_commands_draw_curves(face_file: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = replace(
        TINY, start=16, stable_kimg=(0,), fade_kimg=(0,), total_kimg=0.032, snapshot_kimg=0.016
    )
    faces = open_face_data(face_file)
    train(faces, tmp_path / "run", options, validation=HELD_OUT)
    train(faces, tmp_path / "more", options, validation=HELD_OUT, init=[tmp_path / "run"])
    common = ("--data", face_file, "-n", N, "--validation", HELD_OUT, "--model", tiny_bundle)
    for command, along, values in (
        (("run", tmp_path / "more", tmp_path / "run"), "images seen", [16, 32, 48, 64]),
        (("truncation", "--psi", "0.5,1"), "truncation", [0.5, 1]),
    ):
        report, plot = tmp_path / f"{command[0]}.json", tmp_path / f"{command[0]}.png"
        output = invoke("evaluate", *command, *common, "--json", report, "--plot", plot)
        points = json.loads(report.read_text())["points"]
        assert [point[along] for point in points] == values
        assert "times halves" in " ".join(output.split())
        assert plot.stat().st_size > 5000
    settings = json.loads((tmp_path / "truncation.json").read_text())["settings"]
    assert settings["generator_hash"] == FaceEditor.load(tiny_bundle).generator_hash


def test_a_model_without_judges_is_seen_by_the_embedded_one(
    face_file: Path, tmp_path: Path
) -> None:
    save_generator(tmp_path / "mapped", mobilestylegan(), {})
    report = tmp_path / "truncation.json"
    common = ("--data", face_file, "-n", N, "--validation", HELD_OUT)
    invoke("evaluate", "truncation", *common, "--model", tmp_path / "mapped", "--json", report)
    psis = [point["truncation"] for point in json.loads(report.read_text())["points"]]
    assert psis == [0.5, 0.6, 0.7, 0.8, 0.9, 1]  # a mapping network takes no more


def test_a_run_and_the_larger_one_that_grew_from_it_make_one_curve(
    face_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    large = replace(
        TINY, start=16, stable_kimg=(0,), fade_kimg=(0,), total_kimg=0.016, snapshot_kimg=0.016
    )
    faces, folders = open_face_data(face_file), [tmp_path / "small", tmp_path / "grown"]
    train(faces, folders[0], replace(large, resolution=8, start=8), validation=HELD_OUT)
    train(faces, folders[1], large, validation=HELD_OUT, init=[folders[0]])
    common = ("--data", face_file, "-n", N, "--validation", HELD_OUT, "--model", tiny_bundle)
    report = tmp_path / "grown.json"
    invoke("evaluate", "run", *folders, *common, "--json", report)
    assert [point["images seen"] for point in json.loads(report.read_text())["points"]] == [16, 32]
    words = ("evaluate", "run", folders[0], *common, "--json", report)
    said = CliRunner().invoke(app, [str(word) for word in words]).exception
    assert "measured at 16 pixels, this is 8" in str(said)


@pytest.mark.parametrize("psi", ["x", "0.5,", "2.5", "nan", "-1"])
def test_a_truncation_that_cannot_be_is_refused_in_one_line(
    face_file: Path, tiny_bundle: Path, tmp_path: Path, psi: str
) -> None:
    result = CliRunner().invoke(
        app,
        [
            *("evaluate", "truncation", "--data", str(face_file), "--model", str(tiny_bundle)),
            *("--json", str(tmp_path / "t.json"), f"--psi={psi}"),
        ],
    )
    assert isinstance(result.exception, LatentEditError)
    assert "give numbers" in str(result.exception) or "give 0 to 2" in str(result.exception)
