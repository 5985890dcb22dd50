"""Displacements: lengths, distances to reach, layers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from known_boundaries import BOUNDARIES, DIM, Z, edits, holds, make_boundaries, names, steps
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.editing.displacement import displacement
from latentedit.editing.holds import Hold
from latentedit.editing.layers import mean_over_layers
from latentedit.editing.recipes import make_recipe
from latentedit.errors import LatentEditError


def edit(
    steps: dict[str, float] | None = None,
    hold: Hold = "none",
    to: dict[str, float] | None = None,
    z: NDArray[np.float32] = Z,
) -> NDArray[np.float32]:
    """The edited latents, as the editor returns them."""
    moved = displacement(BOUNDARIES, z, make_recipe(BOUNDARIES, steps or {}, hold, to=to))
    return (z + moved).astype(np.float32)


def distance(z: NDArray[np.float32], name: str) -> NDArray[np.float64]:
    return BOUNDARIES.distances(z)[:, BOUNDARIES.index(name)]


# ---- steps


@given(name=names, step=steps, hold=holds)
def test_a_step_is_relative_and_has_its_length(
    name: str, step: float, hold: str | dict[str, float]
) -> None:
    moved = displacement(BOUNDARIES, Z, make_recipe(BOUNDARIES, {name: step}, hold))
    np.testing.assert_array_equal(moved, np.repeat(moved[:1], len(Z), axis=0))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), abs(step), rtol=1e-12, atol=1e-15)
    gain = (moved @ BOUNDARIES.normals[BOUNDARIES.index(name)]) * np.sign(step)
    assert np.all(gain >= 0)


def test_without_holds_a_step_changes_its_own_distance_by_as_much() -> None:
    change = distance(edit({"Young": -3.0}), "Young") - distance(Z, "Young")
    np.testing.assert_allclose(change, -3, atol=1e-5)


@given(name=names.filter(lambda name: name != "Male"), step=st.floats(-5, 5))
def test_what_is_held_fully_keeps_its_distance_in_float32(name: str, step: float) -> None:
    edited = edit({name: step}, {"Male": 1.0})
    assert edited.dtype == np.float32
    np.testing.assert_allclose(distance(edited, "Male"), distance(Z, "Male"), rtol=0, atol=1e-5)


def test_all_others_keep_their_distances_under_hold_all() -> None:
    edited = edit({"Young": -3.0, "Smiling": 2.0}, "all")
    others = [row for row, name in enumerate(ATTRIBUTES) if name not in ("Young", "Smiling")]
    change = BOUNDARIES.distances(edited) - BOUNDARIES.distances(Z)
    assert np.abs(change[:, others]).max() <= 1e-5


@given(steps=edits, hold=holds)
def test_the_order_of_edits_does_not_matter_to_the_last_bit(
    steps: dict[str, float], hold: str | dict[str, float]
) -> None:
    wanted = edit(steps, hold)
    for order in list(permutations(steps.items()))[:6]:
        np.testing.assert_array_equal(edit(dict(order), hold), wanted)


def test_the_order_of_distances_and_of_holds_does_not_matter_either() -> None:
    held = {"Male": 1.0, "Bald": 0.3, "Chubby": 0.7}
    one = edit({"Young": 1.0}, held, to={"Smiling": 1.0, "Bangs": -1.0})
    other = edit({"Young": 1.0}, dict(reversed(held.items())), to={"Bangs": -1.0, "Smiling": 1.0})
    np.testing.assert_array_equal(one, other)


def test_a_face_moves_alike_alone_and_in_a_batch() -> None:
    together = edit({"Young": -3.0}, "auto", to={"Smiling": 2.0})
    for row in range(len(Z)):
        alone = edit({"Young": -3.0}, "auto", to={"Smiling": 2.0}, z=Z[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


# ---- distances to reach


@given(
    goals=st.dictionaries(names, st.floats(-8, 8), min_size=1, max_size=4),
    hold=holds,
    step=st.floats(-3, 3),
)
def test_distances_are_reached_together_and_after_steps(
    goals: dict[str, float], hold: str | dict[str, float], step: float
) -> None:
    assume("Bangs" not in goals)
    edited = edit({"Bangs": step}, hold, to=goals)
    for name, goal in goals.items():
        np.testing.assert_allclose(distance(edited, name), goal, rtol=0, atol=2e-5)


def test_reaching_the_boundary_where_one_stands_moves_nothing() -> None:
    there = edit(to={"Young": 0.0})
    np.testing.assert_allclose(edit(to={"Young": 0.0}, z=there), there, atol=1e-6)


def test_distances_of_twins_cannot_differ() -> None:
    rows = BOUNDARIES.normals[[0, 0, 1]]
    twins = Boundaries(ATTRIBUTES[:3], rows, np.zeros(3), "tiny")
    recipe = make_recipe(twins, {}, "none", to={ATTRIBUTES[0]: 1.0, ATTRIBUTES[1]: -1.0})
    with pytest.raises(LatentEditError, match="cannot be reached together"):
        displacement(twins, Z, recipe)


# ---- what is refused


def test_latents_of_another_shape_are_refused() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": 1.0})
    for shape in ((DIM,), (2, DIM + 1), (1, 2, DIM + 1), ()):
        with pytest.raises(LatentEditError, match=r"shape \[N, 64\]"):
            displacement(BOUNDARIES, np.zeros(shape), recipe)


def test_a_recipe_for_another_generator_is_refused() -> None:
    recipe = make_recipe(make_boundaries(generator_hash="other"), {"Young": 1.0})
    with pytest.raises(LatentEditError, match="for generator other"):
        displacement(BOUNDARIES, Z, recipe)


# ---- layers


LAYERED = np.random.RandomState(0).standard_normal((3, 6, DIM))


@given(
    layers=st.none() | st.lists(st.integers(0, 5), min_size=1),
    goals=st.dictionaries(names, st.floats(-3, 3), max_size=2),
    moves=edits,
)
def test_layers_move_together_and_reach_distances_in_their_mean(
    layers: list[int] | None, goals: dict[str, float], moves: dict[str, float]
) -> None:
    moves = {name: step for name, step in moves.items() if name not in goals}
    recipe = make_recipe(BOUNDARIES, moves, "none", to=goals, layers=layers) if moves else None
    assume(recipe is not None)
    assert recipe is not None
    moved = displacement(BOUNDARIES, LAYERED, recipe)
    assert moved.shape == LAYERED.shape
    named = set(range(6) if layers is None else layers)
    first = moved[:, [min(named)]]
    for layer in range(6):
        wanted = first[:, 0] if layer in named else np.zeros((3, DIM))
        np.testing.assert_array_equal(moved[:, layer], wanted)
    seen = mean_over_layers(LAYERED + moved, layers)
    for name, goal in goals.items():
        reached = BOUNDARIES.distances(seen)[:, BOUNDARIES.index(name)]
        np.testing.assert_allclose(reached, goal, atol=1e-8)


def test_layers_of_latents_without() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": 1.0}, layers=[0])
    with pytest.raises(LatentEditError, match="no layers to name"):
        displacement(BOUNDARIES, Z, recipe)
    with pytest.raises(LatentEditError, match="layer 6 is out of range"):
        displacement(BOUNDARIES, LAYERED, make_recipe(BOUNDARIES, {"Young": 1.0}, layers=[6]))
