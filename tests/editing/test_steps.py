"""Steps by attribute, as users give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from known_boundaries import BOUNDARIES

from latentedit.editing.recipes import make_recipe
from latentedit.editing.steps import clamp
from latentedit.errors import LatentEditError


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, 1001])
def test_steps_and_distances_must_be_numbers_of_some_size(value: float) -> None:
    with pytest.raises(LatentEditError, match="step of Young cannot be"):
        make_recipe(BOUNDARIES, {"Young": value})
    with pytest.raises(LatentEditError, match="distance of Young cannot be"):
        make_recipe(BOUNDARIES, {}, to={"Young": value})


@pytest.mark.parametrize("value", ["3", None, ["1"], [None], True, 1j, np.complex64(1)])
def test_steps_must_be_numbers(value: Any) -> None:
    for name in ("Young", "older"):
        with pytest.raises(LatentEditError, match="give a number from -1000 to 1000"):
            make_recipe(BOUNDARIES, {name: value})
        with pytest.raises(LatentEditError, match="give a number from -1000 to 1000"):
            make_recipe(BOUNDARIES, {}, to={name: value})


@pytest.mark.parametrize("value", [3, np.float32(3), np.int64(3)])
def test_any_real_number_is_a_step(value: Any) -> None:
    recipe = make_recipe(BOUNDARIES, {"young": value})
    assert recipe.steps == {"Young": 3.0}
    assert type(recipe.steps["Young"]) is float


def test_steps_towards_a_words_side() -> None:
    recipe = make_recipe(BOUNDARIES, {"older": 2.0, "glasses": [1.0, -1.5]}, to={"beard": 0.5})
    assert recipe.steps == {"Young": -2.0, "Eyeglasses": (1.0, -1.5)}
    assert recipe.to == {"No_Beard": -0.5}
    assert make_recipe(BOUNDARIES, {"Age": 2.0}).steps == {"Young": -2.0}
    with pytest.raises(LatentEditError, match="Young is named twice"):
        make_recipe(BOUNDARIES, {"older": 2.0, "Young": 1.0})


def test_steps_beyond_the_safe_range_are_cut() -> None:
    clamped, notes = clamp(BOUNDARIES, {"older": (1.0, 9.0)})
    assert clamped == {"Young": (-1.0, -3.0)}
    assert len(notes) == 1
    assert clamp(BOUNDARIES, {"Young": 1.0}) == ({"Young": 1.0}, [])
