"""Holds, steps, distances to reach, and recipes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.editing.layers import mean_over_layers
from latentedit.editing.recipes import (
    MAX_FRAMES,
    EditRecipe,
    Hold,
    clamp,
    displacement,
    held_by_name,
    make_recipe,
    parse_hold,
    resolve_holds,
)
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED, sample

DIM = 64
AUTO = {"Young": {"Gray_Hair": 0.9, "Male": 0.5}, "Male": {"Young": 1.0, "Bald": 0.25}}


def make_boundaries(seed: int = 0, generator_hash: str = "tiny") -> Boundaries:
    """Forty boundaries that lean on each other."""
    random = np.random.RandomState(seed)
    rows = random.standard_normal((40, DIM)) + 0.4 * random.standard_normal(DIM)
    return Boundaries(
        names=ATTRIBUTES,
        normals=rows / np.linalg.norm(rows, axis=1, keepdims=True),
        biases=random.standard_normal(40),
        generator_hash=generator_hash,
        auto=AUTO,
    )


BOUNDARIES = make_boundaries()
Z = sample(range(5), DIM)


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


names = st.sampled_from(ATTRIBUTES)
steps = st.floats(-20, 20)
hold_words = st.sampled_from(["auto", "none"])
holds = st.one_of(hold_words, st.dictionaries(names, st.floats(0, 1), max_size=5))
edits = st.dictionaries(names, steps, min_size=1, max_size=4)


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


# ---- holds


def test_edited_attributes_are_never_held() -> None:
    edited = ["Young", "Male"]
    for hold in ("all", "auto", ["Young", "Male", "Bald"], {"Male": 1.0, "Bald": 0.5}):
        for name in edited:
            resolved = resolve_holds(BOUNDARIES, name, edited, hold)
            assert not set(resolved) & set(edited)
    assert resolve_holds(BOUNDARIES, "Male", edited, "auto") == {"Bald": 0.25}
    assert len(resolve_holds(BOUNDARIES, "Young", ["Young"], "all")) == 39


def test_words_names_and_discounts_resolve() -> None:
    def resolve(hold: Any) -> dict[str, float]:
        return resolve_holds(BOUNDARIES, "Young", ["Young"], hold)

    assert resolve("none") == {}
    assert resolve("auto") == AUTO["Young"]
    assert resolve("male") == {"Male": defaults.DISCOUNT}
    assert resolve(("male", "black hair")) == {"Male": 1.0, "Black_Hair": 1.0}
    assert resolve({"male": np.float32(0.5)}) == {"Male": 0.5}
    assert resolve_holds(BOUNDARIES, "Smiling", ["Smiling"], "auto") == {}
    assert resolve("Glasses") == {"Eyeglasses": 1.0}
    assert resolve({"beard": 0.5}) == {"No_Beard": 0.5}


def test_auto_and_all_stand_among_names() -> None:
    def resolve(hold: Any, moves: str = "Young") -> dict[str, float]:
        return resolve_holds(BOUNDARIES, moves, [moves], hold)

    assert resolve(("auto", "Bald")) == {"Gray_Hair": 0.9, "Male": 0.5, "Bald": 1.0}
    assert resolve({"Male": 1.0, "auto": 1.0}) == {"Gray_Hair": 0.9, "Male": 1.0}
    assert resolve(parse_hold("auto,Male=0")) == {"Gray_Hair": 0.9, "Male": 0.0}
    assert resolve(parse_hold("Hat, AUTO")) == {**AUTO["Young"], "Wearing_Hat": 1.0}
    assert resolve(parse_hold("auto,hat"), "Smiling") == {"Wearing_Hat": 1.0}
    everything = resolve(("all", "Male"))
    assert len(everything) == 39
    assert resolve({"all": 1.0, "Male": 0.5}) == {**everything, "Male": 0.5}
    assert held_by_name(BOUNDARIES, ("auto", "glasses")) == {"Eyeglasses"}
    assert held_by_name(BOUNDARIES, "auto") == held_by_name(BOUNDARIES, "none") == set()
    assert held_by_name(BOUNDARIES, "all") == set(ATTRIBUTES)


def test_a_recipe_keeps_auto_with_names() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": 2.0, "Smiling": 1.0}, ("auto", "Bald"))
    assert recipe.holds == {
        "Young": {"Gray_Hair": 0.9, "Male": 0.5, "Bald": 1.0},
        "Smiling": {"Bald": 1.0},
    }
    assert EditRecipe.from_json(recipe.to_json()) == recipe


def test_steps_towards_a_words_side() -> None:
    recipe = make_recipe(BOUNDARIES, {"older": 2.0, "glasses": [1.0, -1.5]}, to={"beard": 0.5})
    assert recipe.steps == {"Young": -2.0, "Eyeglasses": (1.0, -1.5)}
    assert recipe.to == {"No_Beard": -0.5}
    np.testing.assert_array_equal(edit({"Age": 2.0}), edit({"Young": -2.0}))
    clamped, notes = clamp(BOUNDARIES, {"older": (1.0, 9.0)})
    assert clamped == {"Young": (-1.0, -3.0)}
    assert len(notes) == 1
    with pytest.raises(LatentEditError, match="Young is named twice"):
        make_recipe(BOUNDARIES, {"older": 2.0, "Young": 1.0})


@pytest.mark.parametrize(
    ("hold", "message"),
    [
        ("mael", "did you mean 'Male'"),
        (["Male", "Nose job"], "unknown attribute"),
        ({"Male": 1.5}, "discount of Male cannot be 1.5"),
        ({"Male": float("nan")}, "discount of Male cannot be nan"),
        ({"Male": "much"}, "discount of Male cannot be 'much'"),
        ({"Male": True}, "discount of Male cannot be True"),
        ({"Male": 1.0, "male": 0.5}, "Male is named twice"),
        ([3], "3 is not the name"),
        (("none", "Male"), "hold none, or names"),
        ({"auto": 0.5, "Male": 1.0}, "auto takes no discount"),
        (None, "cannot hold None"),
        (3, "cannot hold 3"),
    ],
)
def test_bad_holds_are_refused(hold: Any, message: str) -> None:
    with pytest.raises(LatentEditError, match=message):
        resolve_holds(BOUNDARIES, "Young", ["Young"], hold)


def test_holds_as_typed() -> None:
    assert parse_hold("auto") == "auto"
    assert parse_hold(" None ") == "none"
    assert parse_hold("Male") == {"Male": 1.0}
    assert parse_hold("Male, black hair = 0.5") == {"Male": 1.0, "black hair": 0.5}
    assert parse_hold("Male=1e-3") == {"Male": 1e-3}


@pytest.mark.parametrize("text", ["", ",", "Male=", "Male=much", "=0.5", "Male,,Young", "a=b=c"])
def test_holds_that_cannot_be_read(text: str) -> None:
    with pytest.raises(LatentEditError, match="cannot read hold"):
        parse_hold(text)


def test_a_hold_given_twice_is_refused() -> None:
    with pytest.raises(LatentEditError, match="Male is held twice"):
        parse_hold("Male,Male=0.5")


@given(st.text(max_size=20))
def test_reading_holds_never_fails_another_way(text: str) -> None:
    with suppress(LatentEditError):
        resolve_holds(BOUNDARIES, "Young", ["Young"], parse_hold(text))


# ---- what is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, 1001])
def test_steps_and_distances_must_be_numbers_of_some_size(value: float) -> None:
    with pytest.raises(LatentEditError, match="step of Young cannot be"):
        make_recipe(BOUNDARIES, {"Young": value})
    with pytest.raises(LatentEditError, match="distance of Young cannot be"):
        make_recipe(BOUNDARIES, {}, to={"Young": value})


@pytest.mark.parametrize("value", ["3", None, ["1"], [None], True, 1j, np.complex64(1)])
def test_steps_must_be_numbers(value: Any) -> None:
    with pytest.raises(LatentEditError, match="give a number from -1000 to 1000"):
        make_recipe(BOUNDARIES, {"Young": value})


@pytest.mark.parametrize("value", [3, np.float32(3), np.int64(3)])
def test_any_real_number_is_a_step(value: Any) -> None:
    recipe = make_recipe(BOUNDARIES, {"young": value})
    assert recipe.steps == {"Young": 3.0}
    assert type(recipe.steps["Young"]) is float


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


def test_latents_of_another_shape_are_refused() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": 1.0})
    for shape in ((DIM,), (2, DIM + 1), (1, 2, DIM + 1), ()):
        with pytest.raises(LatentEditError, match=r"shape \[N, 64\]"):
            displacement(BOUNDARIES, np.zeros(shape), recipe)


def test_a_recipe_for_another_generator_is_refused() -> None:
    recipe = make_recipe(make_boundaries(generator_hash="other"), {"Young": 1.0})
    with pytest.raises(LatentEditError, match="for generator other"):
        displacement(BOUNDARIES, Z, recipe)


# ---- recipes

RECIPE = make_recipe(
    BOUNDARIES, {"young": -3}, ["Male"], to={"Smiling": 1.5}, seeds=range(2), model="m"
)


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


@pytest.mark.parametrize(
    "layers", [[], [1, 0], [0, 0], [-1], [0.5], [True], "0-7", {"0": 1}, 3, None]
)
def test_layers_that_no_recipe_has(layers: Any) -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": -3.0}, layers=[0])
    with pytest.raises(LatentEditError):
        EditRecipe.from_json(json.dumps({**recipe.as_dict(), "layers": layers}))


def test_layers_of_latents_without() -> None:
    recipe = make_recipe(BOUNDARIES, {"Young": 1.0}, layers=[0])
    with pytest.raises(LatentEditError, match="no layers to name"):
        displacement(BOUNDARIES, Z, recipe)
    with pytest.raises(LatentEditError, match="layer 6 is out of range"):
        displacement(BOUNDARIES, LAYERED, make_recipe(BOUNDARIES, {"Young": 1.0}, layers=[6]))
