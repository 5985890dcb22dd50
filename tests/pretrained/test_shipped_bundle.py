"""The shipped bundle, end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from latentedit import ATTRIBUTES, FaceEditor
from latentedit.pretrained.bundles import TERMS, find_bundle

pytestmark = pytest.mark.fast_form

SEEDS = range(64)
YOUNG, MALE = ATTRIBUTES.index("Young"), ATTRIBUTES.index("Male")


@pytest.fixture(scope="module")
def editor() -> FaceEditor:
    return FaceEditor.load()


@pytest.fixture(scope="module")
def z(editor: FaceEditor) -> np.ndarray:
    return editor.sample(SEEDS)


@pytest.fixture(scope="module")
def scores(editor: FaceEditor, z: np.ndarray) -> np.ndarray:
    return editor.score(editor.render(z))


def test_shapes_and_types(editor: FaceEditor, z: np.ndarray, scores: np.ndarray) -> None:
    images = editor.render(z[:2])
    assert z.shape == (64, 512)
    assert z.dtype == np.float32
    assert images.shape == (2, 128, 128, 3)
    assert images.dtype == np.uint8
    assert scores.shape == (64, 40)
    assert scores.dtype == np.float32
    assert editor.attributes == editor.boundaries.names == ATTRIBUTES


def test_a_seed_is_the_same_face_alone_and_in_a_batch(editor: FaceEditor, z: np.ndarray) -> None:
    together = editor.render(z)
    for seed in (0, 17, 63):
        np.testing.assert_array_equal(editor.render(editor.sample([seed]))[0], together[seed])


def test_faces_differ_and_look_like_pictures(editor: FaceEditor, z: np.ndarray) -> None:
    images = editor.render(z).astype(float)
    assert images.std(axis=0).mean() > 30  # between faces
    assert images.std(axis=(1, 2)).mean() > 30  # within a face


def test_the_boundary_of_young_orders_faces_by_the_classifiers_young(
    editor: FaceEditor, z: np.ndarray, scores: np.ndarray
) -> None:
    # it takes over 5 seconds: on 64 faces the area has a standard error of 0.06
    more = editor.sample(range(64, 256))
    young = np.concatenate((scores, editor.score(editor.render(more))))[:, YOUNG]
    z = np.concatenate((z, more))
    assert roc_auc_score(young >= np.median(young), editor.distances(z)[:, YOUNG]) > 0.75


def test_three_steps_against_young_lower_its_probability(
    editor: FaceEditor, z: np.ndarray, scores: np.ndarray
) -> None:
    older = editor.score(editor.render(editor.edit(z, {"Young": -3.0}, hold="auto")))
    assert scores[:, YOUNG].mean() - older[:, YOUNG].mean() >= 0.3


def test_holding_male_fully_leaves_its_distance(editor: FaceEditor, z: np.ndarray) -> None:
    edited = editor.edit(z, {"Young": -3.0}, hold={"Male": 1.0})
    moved = editor.distances(edited) - editor.distances(z)
    assert np.abs(moved[:, MALE]).max() < 1e-5
    assert (moved[:, YOUNG] < -1).all()


@pytest.mark.parametrize("kind", ["generator", "classifier", "boundaries"])
def test_cards_say_what_a_reader_needs(kind: str) -> None:
    card = json.loads((find_bundle() / f"{kind}.json").read_text())
    assert card["kind"] == kind
    if kind == "generator":
        assert card["terms"].startswith("Trained on pictures of ffhq1024")
        assert "non-commercial" in card["terms"]
    else:
        assert card["terms"] == TERMS
    assert card["data"]
    assert all(command.startswith("latentedit ") for command in card["commands"])
    assert len(card["sha256"]) == 64


def test_the_classifiers_card_holds_its_validation_accuracy() -> None:
    card = json.loads((find_bundle() / "classifier.json").read_text())
    assert card["epochs"][-1]["score"] >= 0.88


def test_boundaries_carry_a_figure_for_every_attribute(editor: FaceEditor) -> None:
    figures = editor.boundaries.figures
    assert set(figures) == set(ATTRIBUTES)
    for name, values in figures.items():
        assert {"accuracy", "f1", "roc_auc", "prevalence"} <= set(values), name
