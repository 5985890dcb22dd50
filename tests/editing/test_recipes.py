"""Recipes: what they say, and what is no recipe."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_boundaries import BOUNDARIES, Z, edits, holds

from latentedit.editing.displacement import displacement
from latentedit.editing.recipes import MAX_FRAMES, EditRecipe, make_recipe
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED

RECIPE = make_recipe(
    BOUNDARIES, {"young": -3}, ["Male"], to={"Smiling": 1.5}, seeds=range(2), model="m"
)


# ---- what a recipe says


def test_a_recipe_says_everything() -> None:
    assert RECIPE.as_dict() == {
        "latentedit": 1,
        "model": "m",
        "generator_hash": "tiny",
        "seeds": [0, 1],
        "steps": {"Young": -3.0},
        "to": {"Smiling": 1.5},
        "holds": {"Smiling": {"Male": 1.0}, "Young": {"Male": 1.0}},
        "frames": 7,
    }
    assert RECIPE.edited == ("Young", "Smiling")
    np.testing.assert_allclose(RECIPE.fractions, np.arange(7) / 6)


def test_a_recipe_keeps_auto_with_names() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": 2.0, "Smiling": 1.0}, ("auto", "Bald"))
    assert recipe.holds == {
        "Young": {"Gray_Hair": 0.9, "Male": 0.5, "Bald": 1.0},
        "Smiling": {"Bald": 1.0},
    }
    assert EditRecipe.from_json(recipe.to_json()) == recipe


@given(
    steps=edits,
    hold=holds,
    seeds=st.one_of(st.none(), st.lists(st.integers(0, MAX_SEED), max_size=4)),
    frames=st.integers(2, MAX_FRAMES),
    model=st.text(max_size=8),
)
def test_recipes_survive_json(
    steps: dict[str, float], hold: Any, seeds: list[int] | None, frames: int, model: str
) -> None:
    recipe = make_recipe(BOUNDARIES, steps, hold, seeds=seeds, frames=frames, model=model)
    assert EditRecipe.from_json(recipe.to_json()) == recipe
    assert EditRecipe.from_json(json.dumps(recipe.as_dict(), indent=2)) == recipe
    assert "\n" not in recipe.to_json()


def test_a_move_may_hold_what_another_move_balances() -> None:
    holds = {"Young": {"Smiling": 1.0}, "Smiling": {}}
    recipe = replace(make_recipe(BOUNDARIES, {"Young": -3.0, "Smiling": 0.5}, "none"), holds=holds)
    assert EditRecipe.from_json(recipe.to_json()) == recipe
    assert recipe.balancing == {"Smiling"}
    assert recipe.wanted == {"Young": -3.0}
    normal = BOUNDARIES.normals[BOUNDARIES.index("Smiling")]
    alone = make_recipe(BOUNDARIES, {"Smiling": 0.5}, "none")
    moved, balance = (displacement(BOUNDARIES, Z, each) @ normal for each in (recipe, alone))
    np.testing.assert_allclose(moved, balance, atol=1e-9)


def test_a_recipe_read_again_makes_the_same_edit() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": -3.0, "Male": 1.0}, "auto")
    again = EditRecipe.from_json(recipe.to_json())
    np.testing.assert_array_equal(
        displacement(BOUNDARIES, Z, again), displacement(BOUNDARIES, Z, recipe)
    )


def test_a_recipe_without_layers_says_nothing_of_them() -> None:
    text = make_recipe(BOUNDARIES, {"Young": -3.0}, "auto", seeds=[0]).to_json()
    assert text == (
        '{"latentedit": 1, "model": "unnamed", "generator_hash": "tiny", "seeds": [0], '
        '"steps": {"Young": -3.0}, "to": {}, "holds": {"Young": {"Gray_Hair": 0.9, "Male": 0.5}}, '
        '"frames": 7}'
    )
    assert EditRecipe.from_json(text).layers is None


def test_a_recipe_with_layers_is_read_again() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": -3.0}, layers=[5, 0, 5, 1])
    assert recipe.layers == (0, 1, 5)
    assert EditRecipe.from_json(recipe.to_json()) == recipe


# ---- what is refused


def test_impossible_combinations_are_refused() -> None:
    with pytest.raises(LatentEditError, match="no attribute to edit"):
        make_recipe(BOUNDARIES, {})
    with pytest.raises(LatentEditError, match="Young has both a step and a distance"):
        make_recipe(BOUNDARIES, {"Young": 1.0}, to={"young": 1.0})
    with pytest.raises(LatentEditError, match="Young is named twice"):
        make_recipe(BOUNDARIES, {"Young": 1.0, "young": 1.0})
    with pytest.raises(LatentEditError, match="did you mean 'Young'"):
        make_recipe(BOUNDARIES, {"Yuong": 1.0})
    for frames in (-1, 0, 1, MAX_FRAMES + 1):
        with pytest.raises(LatentEditError, match="frames"):
            make_recipe(BOUNDARIES, {"Young": 1.0}, frames=frames)
    for seed in (-1, MAX_SEED + 1):
        with pytest.raises(LatentEditError, match="seed"):
            make_recipe(BOUNDARIES, {"Young": 1.0}, seeds=[seed])


@pytest.mark.parametrize(
    "layers", [[], [1, 0], [0, 0], [-1], [0.5], [True], "0-7", {"0": 1}, 3, None]
)
def test_layers_that_no_recipe_has(layers: Any) -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": -3.0}, layers=[0])
    with pytest.raises(LatentEditError):
        EditRecipe.from_json(json.dumps({**recipe.as_dict(), "layers": layers}))


def damaged(**entries: Any) -> str:
    return json.dumps({**RECIPE.as_dict(), **entries})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"recipe"',
        "{}",
        "[" * 100_000,
        RECIPE.to_json().replace("-3.0", "NaN"),
        RECIPE.to_json().replace("-3.0", "Infinity"),
        RECIPE.to_json().replace("-3.0", "1e999"),
        RECIPE.to_json().replace("-3.0", "9" * 400),
        RECIPE.to_json().replace("-3.0", "9" * 5000),
        RECIPE.to_json().replace("-3.0", '-3.0, "Young": 2'),
        damaged(latentedit=2),
        damaged(latentedit=True),
        damaged(latentedit="1"),
        damaged(more=1),
        damaged(model=3),
        damaged(generator_hash=None),
        damaged(seeds="12"),
        damaged(seeds=[1.5, 2]),
        damaged(seeds=[True, False]),
        damaged(seeds=[-1]),
        damaged(seeds=[2**32]),
        damaged(seeds=[[1]]),
        damaged(steps=[["Young", -3]]),
        damaged(steps={"Young": "-3"}),
        damaged(steps={"Young": None}),
        damaged(steps={"Young": True}),
        damaged(steps={}, to={}, holds={}),
        damaged(steps={"Young": 1, "Smiling": 1}),
        damaged(to=None),
        damaged(holds={}),
        damaged(holds={"Young": {}}),
        damaged(holds={"Young": {}, "Smiling": {}, "Male": {}}),
        damaged(holds={"Young": ["Male"], "Smiling": {}}),
        damaged(holds={"Young": {"Male": 2}, "Smiling": {}}),
        damaged(holds={"Young": {"Male": "1"}, "Smiling": {}}),
        damaged(holds={"Young": {"Young": 1}, "Smiling": {}}),
        damaged(frames=1),
        damaged(frames=7.0),
        damaged(frames=10**9),
        json.dumps({key: value for key, value in RECIPE.as_dict().items() if key != "frames"}),
        json.dumps({key: value for key, value in RECIPE.as_dict().items() if key != "latentedit"}),
    ],
)
def test_what_is_not_a_recipe_is_refused(text: str) -> None:
    with pytest.raises(LatentEditError):
        EditRecipe.from_json(text)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)


@given(entry=st.sampled_from(sorted(RECIPE.as_dict())), value=json_values)
def test_no_damage_raises_anything_else(entry: str, value: Any) -> None:
    with suppress(LatentEditError):
        EditRecipe.from_json(damaged(**{entry: value}))


def test_seeds_are_those_of_samples() -> None:
    made = make_recipe(BOUNDARIES, {"young": 1}, seeds="3-5,12")  # type: ignore[arg-type]
    assert made.seeds == (3, 4, 5, 12)
    for seeds in ([1.9], 7):
        with pytest.raises(LatentEditError, match="seed"):
            make_recipe(BOUNDARIES, {"young": 1}, seeds=seeds)  # type: ignore[arg-type]


def test_frames_of_any_whole_type_and_of_no_other() -> None:
    frames: Any = np.int64(5)
    assert json.loads(make_recipe(BOUNDARIES, {"young": 1}, frames=frames).to_json())["frames"] == 5
    with pytest.raises(LatentEditError, match="frames"):
        make_recipe(BOUNDARIES, {"young": 1}, frames=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 3])
def test_steps_by_face_are_for_as_many_faces(count: int) -> None:
    made = make_recipe(BOUNDARIES, {"young": [1.0] * count})
    assert displacement(BOUNDARIES, np.tile(Z[:1], (count, 1)), made).shape[0] == count
    with pytest.raises(LatentEditError, match="faces"):
        displacement(BOUNDARIES, np.tile(Z[:1], (2, 1)), made)


@pytest.mark.parametrize("name", ["older", "young", "Unheard_Of"])
def test_names_in_a_recipe_are_those_of_the_boundaries(name: str) -> None:
    recipe = replace(RECIPE, steps={name: 2.0}, to={}, holds={name: {}}, seeds=None)
    with pytest.raises(LatentEditError, match=name):
        displacement(BOUNDARIES, Z, recipe)
