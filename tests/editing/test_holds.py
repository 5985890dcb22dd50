"""Holds: words, names and discounts, as given and as typed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_boundaries import AUTO, BOUNDARIES

from latentedit import defaults
from latentedit.attributes import ATTRIBUTES
from latentedit.editing.holds import held_by_name, parse_hold, resolve_holds
from latentedit.errors import LatentEditError


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
