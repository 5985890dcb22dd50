"""The evaluation of a generator, end to end on a tiny one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.cli.evaluate.shared import finish
from latentedit.cli.main import app
from latentedit.data.face_file import FaceData
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.figures.plots import generator_rows, neighbours_panel, plot_frequencies
from latentedit.evaluation.generators import pictures
from latentedit.evaluation.generators.report import (
    FaceSet,
    RealFaces,
    attribute_frequencies,
    check_extras,
    describe_real_faces,
    evaluate_generator,
    nearest_training_faces,
    shrink,
)
from latentedit.generators.progressive import Generator
from latentedit.io.cards import load_card, save_with_card
from latentedit.io.images import open_image

N, HELD_OUT = 12, 10


@pytest.fixture
def extras() -> None:
    for name in ("torchmetrics", "prdc", "dlib", "face_recognition_models"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'latentedit[evaluate]'")


@pytest.fixture
def editor(tiny_generator: Generator, tiny_classifier: AttributeClassifier) -> FaceEditor:
    return FaceEditor(tiny_generator, tiny_classifier, name="tiny", device="cpu")


@pytest.fixture
def real(data: FaceData, tiny_classifier: AttributeClassifier) -> RealFaces:
    return describe_real_faces(data, tiny_classifier, N, validation=HELD_OUT)


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bright pictures count as faces, for speed."""
    monkeypatch.setattr(pictures, "detected", lambda images: images.mean((1, 2, 3)) > 100)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.usefixtures("extras")
def test_report(editor: FaceEditor, tiny_classifier: AttributeClassifier, real: RealFaces) -> None:
    report, samples = evaluate_generator(editor, tiny_classifier, real)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["n"] == N
    assert report["sizes"] == {"samples": N, "real": N, "reference": HELD_OUT, "halves": [11, 11]}
    assert report["seeds"] == {"first": 10_000_000, "last": 10_000_011, "random": 0}
    assert report["generator_hash"] == editor.generator_hash
    assert report["data"]["source"] == "drawn discs"
    assert set(report["spaces"]) == {"dlib", "classifier"}
    for space in report["spaces"].values():
        assert set(space) == {"frechet", "kernel", "precision", "recall", "density", "coverage"}
        assert all({"samples", "real"} <= set(figure) for figure in space.values())
        frechet = space["frechet"]
        assert frechet["times_real"] == pytest.approx(frechet["samples"] / frechet["real"])
        assert frechet["times_halves"] == pytest.approx(frechet["samples"] / frechet["halves"])
    # noise from a random generator is further from drawn discs than discs are
    assert report["spaces"]["dlib"]["frechet"]["times_real"] > 2
    assert set(report["sliced_wasserstein"]) == {"16", "mean"}
    assert report["sliced_wasserstein"]["mean"]["samples"] > 0
    assert set(report["ms_ssim"]) == {"samples", "real", "scales"}
    assert 0 <= report["face_found"]["samples"] <= 1
    assert set(report["attributes"]) == set(ATTRIBUTES)
    assert set(report["sources"]) >= {"frechet", "sliced_wasserstein", "face_found"}
    np.testing.assert_array_equal(
        samples.images[:2], editor.render(editor.sample([10_000_000, 10_000_001]))
    )
    assert 0 <= report["clean_portraits"]["samples"] <= 1
    assert len(generator_rows(report)) == 2 * 6 + 2 + 3


@pytest.mark.usefixtures("extras", "no_detector")
def test_real_faces_score_like_real_faces(
    editor: FaceEditor, tiny_classifier: AttributeClassifier, real: RealFaces
) -> None:
    """A generator that has the training faces by heart scores what they score."""

    class Memory(FaceEditor):
        def __init__(self) -> None:
            vars(self).update(vars(editor))
            self._left = real.training.images

        def render(self, z: Any) -> Any:
            shown, self._left = self._left[: len(z)], self._left[len(z) :]
            return shown

    report, _ = evaluate_generator(Memory(), tiny_classifier, real)
    compared = [
        *(figure for space in report["spaces"].values() for figure in space.values()),
        *report["sliced_wasserstein"].values(),
        report["ms_ssim"],
    ]
    for figure in compared:
        assert figure["samples"] == pytest.approx(figure["real"])


@pytest.mark.usefixtures("extras", "no_detector")
def test_samples_larger_than_the_real_faces_are_reduced(
    data: FaceData, editor: FaceEditor, tiny_classifier: AttributeClassifier
) -> None:
    real = describe_real_faces(data, tiny_classifier, N, validation=HELD_OUT, resolution=12)
    report, samples = evaluate_generator(editor, tiny_classifier, real)
    assert report["resolution"] == 12
    z = editor.sample(range(10_000_000, 10_000_000 + N))
    np.testing.assert_array_equal(samples.images, shrink(editor.render(z), 12))


@pytest.mark.usefixtures("extras", "no_detector")
def test_the_same_twice_and_in_other_batches(
    data: FaceData, tiny_generator: Generator, tiny_classifier: AttributeClassifier, real: RealFaces
) -> None:
    first, second = (
        evaluate_generator(
            FaceEditor(tiny_generator, tiny_classifier, device="cpu", batch_size=size),
            tiny_classifier,
            real,
        )[0]
        for size in (64, 5)
    )
    np.testing.assert_allclose(numbers(first), numbers(second), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("extras")
def test_held_out_faces_are_the_last_and_larger_ones_are_reduced(
    data: FaceData, tiny_classifier: AttributeClassifier
) -> None:
    real = describe_real_faces(data, tiny_classifier, 8, validation=10, resolution=8, seed=1)
    assert real.reference.images.shape == (10, 8, 8, 3)
    np.testing.assert_array_equal(real.reference.images, shrink(np.array(data.images[-10:]), 8))
    assert real.training.images.shape == (8, 8, 8, 3)
    pool = shrink(np.array(data.images[:-10]), 8)
    assert all((pool == image).all((1, 2, 3)).any() for image in real.training.images)
    np.testing.assert_array_equal(real.labels, data.labels[-10:])
    other = describe_real_faces(data, tiny_classifier, 8, validation=10, resolution=8, seed=2)
    assert (other.training.images != real.training.images).any()


def test_too_few_faces(data: FaceData, tiny_classifier: AttributeClassifier) -> None:
    with pytest.raises(LatentEditError, match=r"only 220 training faces .* lower --n"):
        describe_real_faces(data, tiny_classifier, 221, validation=20)
    with pytest.raises(LatentEditError, match="at least 8"):
        describe_real_faces(data, tiny_classifier, 7, validation=20)
    with pytest.raises(LatentEditError, match="cannot hold out"):
        describe_real_faces(data, tiny_classifier, 10, validation=1000)


def scores(*shares: float) -> np.ndarray:
    """A hundred faces, of which these shares have more than 0.5."""
    return np.array([[(100 * p > row) * 0.8 for p in shares] for row in range(100)], np.float32)


def test_attribute_frequencies_without_labels() -> None:
    names = ("same", "double", "more", "half", "less", "rare", "never")
    rows = attribute_frequencies(
        names,
        scores(0.30, 0.40, 0.42, 0.10, 0.09, 0.50, 0.00),
        scores(0.30, 0.20, 0.20, 0.20, 0.20, 0.05, 0.00),
        np.full((100, 7), -1, np.int8),
    )
    assert {name for name, row in rows.items() if row["off"]} == {"more", "less"}
    assert rows["double"] == {
        "samples": pytest.approx(0.40),
        "held_out": pytest.approx(0.20),
        "labels": None,
        "at_labels": None,
        "ratio": pytest.approx(2),
        "off": False,
    }
    assert rows["never"]["ratio"] is None


def test_attribute_frequencies_at_the_labels_threshold() -> None:
    # the classifier is too cautious: it gives (face's rank) / 250, never more than 0.4
    held_out = np.arange(100, dtype=np.float32)[:, None] / 250
    labels = (np.arange(100) >= 80).astype(np.int8)[:, None]
    (same,) = attribute_frequencies(["A"], held_out, held_out, labels).values()
    assert same["samples"] == same["held_out"] == 0
    assert same["labels"] == pytest.approx(0.2)
    assert same["at_labels"] == pytest.approx(0.2)
    assert not same["off"]
    (less,) = attribute_frequencies(["A"], 0.87 * held_out, held_out, labels).values()
    assert less["at_labels"] == pytest.approx(0.08)
    assert less["ratio"] == pytest.approx(0.4)
    assert less["off"]
    labels[:50] = -1  # of those that are known, 40 % have it
    (partly,) = attribute_frequencies(["A"], held_out[50:], held_out, labels).values()
    assert partly["labels"] == partly["at_labels"] == pytest.approx(0.4)


def test_nobody_and_everybody() -> None:
    some = np.linspace(0.1, 0.9, 50, dtype=np.float32)[:, None]
    nobody, everybody = np.zeros((50, 1), np.int8), np.ones((50, 1), np.int8)
    (row,) = attribute_frequencies(["A"], some, some, nobody).values()
    assert (row["at_labels"], row["ratio"], row["off"]) == (0, None, False)
    (row,) = attribute_frequencies(["A"], some, some, everybody).values()
    assert row["at_labels"] == pytest.approx(1, abs=0.03)
    assert not row["off"]


def test_neighbours(data: FaceData, tiny_classifier: AttributeClassifier) -> None:
    from latentedit.evaluation.generators.report import _classify

    chosen = np.array(data.images[[3, 50, 100]])
    features, scores = _classify(chosen, tiny_classifier, "cpu")
    samples = FaceSet(chosen, {"classifier": features}, scores)
    strips = nearest_training_faces(
        samples, data, tiny_classifier, validation=20, count=2, neighbours=3
    )
    assert len(strips) == 2
    for image, (faces, captions) in zip(chosen, strips, strict=False):
        assert faces.shape == (4, 16, 16, 3)
        np.testing.assert_array_equal(faces[0], image)
        np.testing.assert_array_equal(faces[1], image)  # a training face finds itself
        assert captions[:2] == ["sample", "0.00"]
    panel = neighbours_panel(strips)
    assert panel.dtype == np.uint8
    assert panel.shape[1] > 4 * 96


def report_for_plot() -> dict[str, Any]:
    row = {"samples": 0.3, "held_out": 0.2, "labels": None, "at_labels": None, "off": False}
    rows = dict.fromkeys(ATTRIBUTES, row)
    rows["Male"] = {**row, "labels": 0.25, "at_labels": 0.9, "off": True}
    return {"attributes": rows, "n": 24, "model": "tiny"}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'latentedit[plots]'")
    path = tmp_path / f"frequencies.{ending}"
    plot_frequencies(path, report_for_plot())
    assert path.stat().st_size > 5000
    if ending == "png":
        assert open_image(path).shape[1] == 960


def test_plot_with_another_ending(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"end its name in \.png, \.svg, \.pdf"):
        plot_frequencies(tmp_path / "frequencies.txt", report_for_plot())


@pytest.mark.usefixtures("extras")
def test_command(tiny_bundle: Path, face_file: Path, tmp_path: Path) -> None:
    report, plot, panel = tmp_path / "report.json", tmp_path / "plot.png", tmp_path / "near.png"
    result = CliRunner().invoke(
        app,
        [
            *("evaluate", "generator", "--data", str(face_file), "--model", str(tiny_bundle)),
            *("--n", "8", "--validation", "8", "--json", str(report)),
            *("--plot", str(plot), "--neighbours", str(panel), "--card"),
        ],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    assert "times that of real faces" in result.stdout
    assert "face found by dlib" in result.stdout
    assert json.loads(report.read_text())["n"] == 8
    card = load_card(tiny_bundle / "generator.safetensors", "generator")
    assert card["figures"] == json.loads(report.read_text())
    assert open_image(plot).size
    assert open_image(panel).size


@pytest.mark.parametrize("module", ["torchmetrics.image", "prdc", "dlib"])
def test_a_missing_extra_is_named_before_any_work(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[evaluate\]'"):
        check_extras()


def test_command_says_what_is_wrong_before_any_work(
    tiny_bundle: Path, face_file: Path, tmp_path: Path
) -> None:
    arguments = ["evaluate", "generator", "--data", str(face_file), "--model", str(tiny_bundle)]
    for wrong in (
        ["--json", str(tmp_path / "missing" / "report.json")],
        ["--json", str(tmp_path / "report.json"), "--plot", str(tmp_path / "plot.txt")],
    ):
        result = CliRunner().invoke(app, [*arguments, *wrong])
        assert isinstance(result.exception, LatentEditError)
        assert "\n" not in str(result.exception)


def test_figures_go_into_the_card_of_an_onnx_generator_too(tmp_path: Path) -> None:
    weights = tmp_path / "model" / "generator.onnx"
    weights.parent.mkdir()
    save_with_card(weights, lambda file: file.write_bytes(b"a net"), "generator", {})
    finish({"n": 1}, tmp_path / "report.json", str(weights.parent), "generator")
    assert load_card(weights, "generator")["figures"] == {"n": 1}
