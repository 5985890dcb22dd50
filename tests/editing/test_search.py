"""Searching steps: a measure that is known exactly, faces that cannot get there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from age_estimators import Brightness, judged_by
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentedit.editing.editor import FaceEditor
from latentedit.editing.search import Float64Array, find_enough, safe_steps, search_steps
from latentedit.errors import LatentEditError
from latentedit.generators.latents import normalize


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return judged_by(Brightness(), tiny_bundle)


def test_finds_the_step_of_a_value_that_is_there(editor: FaceEditor) -> None:
    z = editor.sample(range(6))
    planted = np.array([2.0, -1.5, 0.3, -0.2, 1.0, -2.7])
    moved = editor.edit(z, {"Young": planted.tolist()}, "none")
    goals = editor.age(editor.render(moved))
    found = search_steps(editor, z, "Young", editor.age, goals, hold="none")
    reached = editor.age(editor.render(editor.edit(z, {"Young": found.steps.tolist()}, "none")))
    np.testing.assert_array_equal(found.reached, reached)
    np.testing.assert_allclose(found.reached, goals, atol=0.3)
    assert (np.abs(found.steps) <= np.abs(planted) + 0.1).all()  # the nearest one, not any


def test_takes_what_comes_nearest_where_a_goal_is_out_of_reach(editor: FaceEditor) -> None:
    z = editor.sample(range(3))
    found = search_steps(editor, z, "Young", editor.age, 1e6, limits=(-1.0, 2.0))
    tried = np.linspace(-1, 2, 31)
    best = [
        max(
            editor.age(editor.render(editor.edit(face[None], {"Young": float(step)})))[0]
            for step in tried
        )
        for face in z
    ]
    assert ((found.steps >= -1) & (found.steps <= 2)).all()
    np.testing.assert_allclose(found.reached, best, atol=0.5)


def test_no_face_moves_the_other_way(editor: FaceEditor) -> None:
    z = editor.sample(range(6))

    def valley(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Rises on both sides of the unedited faces."""
        return np.abs(editor.age(images) - before)

    before = editor.age(editor.render(z))
    either = search_steps(editor, z, "Young", valley, 1e6)
    for rising in (-1, 1):
        found = search_steps(editor, z, "Young", valley, 1e6, rising=rising)
        assert (rising * found.steps >= 0).all()
        assert np.abs(found.steps).max() > 0
        falling = search_steps(editor, z, "Young", valley, -1e6, rising=rising)
        assert (rising * falling.steps <= 0).all()
    assert len({*np.sign(either.steps)}) > 1


def test_a_face_on_the_way_stops_where_the_mean_face_would(editor: FaceEditor) -> None:
    low, high = editor.boundaries.safe_range("Young")
    normal = editor.boundaries.normals[editor.boundaries.index("Young")]
    z = editor.sample([0])
    mean = normalize(z - (z @ normal)[:, None] * normal)  # as far along Young as the mean face
    np.testing.assert_allclose(safe_steps(editor, mean, "Young"), [[low, high]], atol=1e-4)
    older = editor.edit(mean, {"Young": -1.0}, "none")
    np.testing.assert_allclose(safe_steps(editor, older, "Young"), [[low + 1, high]], atol=1e-4)
    oldest = editor.edit(mean, {"Young": 2 * low}, "none")
    np.testing.assert_allclose(safe_steps(editor, oldest, "Young"), [[0, high]], atol=1e-4)
    np.testing.assert_allclose(
        safe_steps(editor, older, "Young", 2), [[2 * low + 1, 2 * high]], atol=1e-4
    )
    # the same limits by the word for the other side
    np.testing.assert_allclose(safe_steps(editor, older, "older"), [[-high, -low - 1]], atol=1e-4)


def test_the_measure_may_be_anything(editor: FaceEditor) -> None:
    def redness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return images[..., 0].mean((1, 2)) - images[..., 2].mean((1, 2))

    z = editor.sample(range(3))
    moved = editor.render(editor.edit(z, {"Smiling": 1.2}, "none"))
    found = search_steps(editor, z, "Smiling", redness, redness(moved), hold="none")
    np.testing.assert_allclose(found.reached, redness(moved), atol=0.6)


def test_goals_are_finite(editor: FaceEditor) -> None:
    with pytest.raises(LatentEditError, match="finite"):
        search_steps(editor, editor.sample([0]), "Young", lambda images: images.mean(), np.nan)


# ---- enough


@given(
    slope=st.lists(st.floats(0.5, 20), min_size=1, max_size=6),
    bend=st.floats(0.3, 3),
    goal=st.floats(0.1, 30),
)
def test_enough_is_found_in_few_looks(slope: list[float], bend: float, goal: float) -> None:
    """Measures that rise like a power of the step, each face at its own rate."""
    slopes, looks = np.array(slope), np.zeros(len(slope))
    ends = np.where(np.arange(len(slope)) % 2, -3.0, 3.0)

    def measured(steps: Float64Array, rows: NDArray[np.int64]) -> Float64Array:
        assert (steps * ends[rows] > 0).all()
        looks[rows] += 1
        return slopes[rows] * np.abs(steps) ** bend - 1.0

    before, goals = np.full(len(slope), -1.0), np.full(len(slope), goal - 1.0)
    steps, reached = find_enough(measured, before, goals, ends, 0.5)
    np.testing.assert_allclose(reached, slopes * np.abs(steps) ** bend - 1.0)
    assert (np.abs(steps) <= 3).all()
    assert (looks <= 8).all()
    possible = slopes * 3**bend >= goal
    assert (reached[possible] >= goals[possible]).all()
    np.testing.assert_array_equal(steps[~possible], ends[~possible])


def test_where_more_is_never_enough_the_best_counts() -> None:
    def measured(steps: Float64Array, rows: NDArray[np.int64]) -> Float64Array:
        return 1 - np.abs(steps - 1)

    steps, reached = find_enough(measured, np.zeros(1), np.full(1, 2.0), np.full(1, 6.0), 0.1)
    assert (steps[0], reached[0]) == (1.0, 1.0)
    assert find_enough(measured, np.zeros(0), np.zeros(0), np.zeros(0), 0.1)[0].shape == (0,)
