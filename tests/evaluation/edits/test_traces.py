"""Following faces: what is seen, what is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_CLASSIFIER, TINY_GENERATOR
from hypothesis import given
from hypothesis import strategies as st

from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import Traces, crossing, observe, sigmoid
from latentedit.generators.progressive import Generator

STEPS = (-1.0, 0.0, 2.0)
SEEDS = range(5)


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return FaceEditor.load(tiny_bundle)


def open_traces(editor: FaceEditor, folder: Path) -> Traces:
    return Traces(editor, folder, range(100, 130))


def test_a_trace_is_what_editing_and_scoring_give(editor: FaceEditor, tmp_path: Path) -> None:
    holds = {"Male": 1.0}
    trace = open_traces(editor, tmp_path / "t").trace("Young", holds, STEPS, SEEDS)
    assert trace.logits.shape == (5, 3, 40)
    z = editor.sample(SEEDS)
    for column, step in enumerate(STEPS):
        scores = editor.score(editor.render(editor.edit(z, {"Young": step}, holds)))
        np.testing.assert_allclose(trace.probabilities[:, column], scores, atol=2e-3)
    np.testing.assert_allclose(trace.identity[:, trace.start], 1, atol=1e-6)
    assert (trace.identity < 1 + 1e-6).all()
    assert np.isnan(trace.years).all()
    assert np.isnan(trace.dlib).all()
    assert (trace.strangeness > 0).all()


def test_ages_are_estimated_where_the_editor_can(editor: FaceEditor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    aged = FaceEditor(
        Generator(TINY_GENERATOR),
        AttributeClassifier(TINY_CLASSIFIER),
        age_estimator=lambda images: images.mean((1, 2, 3)),
    )
    images = aged.render(aged.sample(SEEDS))
    np.testing.assert_allclose(observe(aged, images).years, aged.age(images))
    assert np.isnan(observe(editor, images).years).all()


def test_a_second_run_renders_nothing(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_traces(editor, tmp_path / "t").trace("Young", {}, STEPS, SEEDS)
    monkeypatch.setattr(editor, "render", None)
    again = open_traces(editor, tmp_path / "t").trace("Young", {}, STEPS, SEEDS)
    np.testing.assert_array_equal(first.logits, again.logits)
    with pytest.raises(TypeError):
        open_traces(editor, tmp_path / "t").trace("Young", {"Male": 1.0}, STEPS, SEEDS)


def test_another_models_folder_is_refused(editor: FaceEditor, tmp_path: Path) -> None:
    open_traces(editor, tmp_path / "t")
    normals = np.roll(editor.boundaries.normals, 1, axis=0)
    other = Boundaries(
        editor.boundaries.names, normals, editor.boundaries.biases, editor.generator_hash
    )
    with pytest.raises(LatentEditError, match=r"another measurement \(boundaries"):
        Traces(editor, tmp_path / "t", range(100, 130), boundaries=other)
    (tmp_path / "t" / "traces.json").write_text("[]")
    with pytest.raises(LatentEditError, match=r"traces\.json is damaged"):
        open_traces(editor, tmp_path / "t")


def test_traces_of_faces_in_another_precision_are_refused(
    editor: FaceEditor, tmp_path: Path
) -> None:
    open_traces(editor, tmp_path / "t")
    path = tmp_path / "t" / "traces.json"
    card = json.loads(path.read_text())
    assert card.pop("precision") == "float32"
    path.write_text(json.dumps(card))  # as it was before there was a choice
    open_traces(editor, tmp_path / "t")
    path.write_text(json.dumps({**card, "precision": "bfloat16"}))
    with pytest.raises(LatentEditError, match="precision 'bfloat16'"):
        open_traces(editor, tmp_path / "t")


def test_a_damaged_trace_is_named(editor: FaceEditor, tmp_path: Path) -> None:
    open_traces(editor, tmp_path / "t").trace("Young", {}, STEPS, SEEDS)
    (file,) = (tmp_path / "t").glob("Young-*.safetensors")
    file.write_bytes(b"half")
    with pytest.raises(LatentEditError, match="damaged: delete it"):
        open_traces(editor, tmp_path / "t").trace("Young", {}, STEPS, SEEDS)


def test_few_unedited_faces_are_beyond_the_limit(editor: FaceEditor, tmp_path: Path) -> None:
    traces = Traces(editor, tmp_path / "t", range(100, 500))
    trace = traces.trace("Young", {}, STEPS, range(500, 700))
    shares = (trace.strangeness > traces.typical.limit).mean(0)
    assert shares[trace.start] < 0.15
    noise = np.random.RandomState(0).randint(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    seen = observe(editor, noise, measure=traces.typical.places.strangeness)
    assert (seen.strangeness > traces.typical.limit).all()
    assert np.isnan(observe(editor, noise).strangeness).all()


def test_sigmoid_has_no_overflow() -> None:
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid([-80, 0, 80]), [0, 0.5, 1], atol=1e-12)


@given(
    steps=st.lists(st.floats(0.1, 3), min_size=1, max_size=8),
    values=st.lists(st.floats(0, 1), min_size=9, max_size=9),
    level=st.floats(0.01, 1),
)
def test_a_crossing_is_where_a_line_reaches_the_level(
    steps: list[float], values: list[float], level: float
) -> None:
    places = np.concatenate(([0.0], np.cumsum(steps)))
    heights = np.array(values[: len(places)])
    found = crossing(places, heights, level)
    if found is None:
        assert heights.max() < level
    elif found > 0:
        assert np.interp(found, places, heights) == pytest.approx(level, abs=1e-6)
        assert (heights[places < found - 1e-9] < level).all()
    else:
        assert heights[0] >= level


def test_dlib_cosines_are_taken_around_the_unedited_faces(
    editor: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(images: np.ndarray, *, device: str) -> np.ndarray:
        pixels = images.reshape(len(images), -1)[:, :128]
        return 1000 + pixels.astype(np.float32)  # all point the same way

    monkeypatch.setattr("latentedit.inference.descriptors.describe", describe)
    traces = Traces(editor, tmp_path / "w", range(40), describe=True)
    trace = traces.trace("Young", {}, STEPS, SEEDS)
    assert trace.dlib[:, 1] == pytest.approx(1, abs=1e-5)
    assert trace.dlib[:, 2].max() < 0.999
    with pytest.raises(LatentEditError, match="descriptors"):
        Traces(editor, tmp_path / "w", range(40))
